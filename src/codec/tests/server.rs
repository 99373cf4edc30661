use super::{decode, type_named, unhex};

/// Type, bytes, text.
pub(super) fn table() -> impl Iterator<Item = (&'static str, Vec<u8>, &'static str)> {
    include_str!("server.tsv").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("three fields");
        (field(), unhex(field()), field())
    })
}

#[test]
fn values_are_what_the_server_prints() {
    for (name, raw, text) in table() {
        assert_eq!(decode(&type_named(name), &raw).as_deref(), Ok(text), "{name} {raw:02x?}");
    }
}

#[test]
fn a_value_cut_short_or_grown_is_an_error_or_another_value_of_the_type() {
    // Text and bytea have no inner length, and of these three a part may be a whole.
    let open = [
        "text",
        "varchar",
        "bpchar",
        "name",
        "xml",
        "citext",
        "mood",
        "json",
        "jsonb",
        "bytea",
        "jsonpath",
        "ltree",
        "lquery",
        "ltxtquery",
    ];
    for (name, raw, _) in table().filter(|(name, _, _)| !open.contains(name)) {
        let ty = type_named(name);
        for len in 0..raw.len() {
            assert!(decode(&ty, &raw[..len]).is_err(), "{name} {:02x?}", &raw[..len]);
        }
        let grown = [&raw[..], b"\0"].concat();
        assert!(decode(&ty, &grown).is_err(), "{name} {grown:02x?}");
    }
}
