//! The columns of a result as the server describes them (PostgreSQL docs, 54.7 "Message Formats", RowDescription).

/// A column as RowDescription has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) table_oid: u32,
    pub(crate) column_number: i16,
    pub(crate) type_oid: u32,
    /// Bytes of a value of the type; negative: they vary (pg_type.typlen).
    pub(crate) type_size: i16,
    pub(crate) type_modifier: i32,
}

/// The columns in the body of a RowDescription; None if it is none.
pub(crate) fn columns_of(body: &[u8]) -> Option<Vec<Described>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let (fixed, after) = rest[end + 1..].split_first_chunk::<18>()?;
        let [t0, t1, t2, t3, c0, c1, o0, o1, o2, o3, s0, s1, m0, m1, m2, m3, _, _] = *fixed;
        columns.push(Described {
            name,
            table_oid: u32::from_be_bytes([t0, t1, t2, t3]),
            column_number: i16::from_be_bytes([c0, c1]),
            type_oid: u32::from_be_bytes([o0, o1, o2, o3]),
            type_size: i16::from_be_bytes([s0, s1]),
            type_modifier: i32::from_be_bytes([m0, m1, m2, m3]),
        });
        rest = after;
    }
    rest.is_empty().then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_descriptions() {
        let one = [&b"id\0"[..], &[0, 0, 0x40, 0, 0, 1, 0, 0, 0, 23, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]].concat();
        let body = [&[0, 2][..], &one, &one].concat();
        let columns = columns_of(&body).expect("two columns");
        assert_eq!(columns.len(), 2);
        let Described { name, table_oid, column_number, type_oid, type_size, type_modifier } = &columns[1];
        assert_eq!((name.as_str(), *table_oid, *column_number), ("id", 16_384, 1));
        assert_eq!((*type_oid, *type_size, *type_modifier), (23, 4, -1));
        for len in 0..body.len() {
            assert!(columns_of(&body[..len]).is_none(), "{len}");
        }
    }
}
