//! Reads an ErrorResponse that tokio-postgres does not see (PostgreSQL docs, 54.8 "Error and Notice Message Fields").

use serde_json::Value;

use crate::error::{ServerError, is_sqlstate};

/// The fields beside code and message, by their bytes and their public names; whether they are numbers.
const FIELDS: [(u8, &str, bool); 15] = [
    (b'S', "severity", false),
    (b'D', "detail", false),
    (b'H', "hint", false),
    (b'P', "position", true),
    (b'p', "internalPosition", true),
    (b'q', "internalQuery", false),
    (b'W', "where", false),
    (b's', "schema", false),
    (b't', "table", false),
    (b'c', "column", false),
    (b'd', "dataType", false),
    (b'n', "constraint", false),
    (b'F', "file", false),
    (b'L', "line", true),
    (b'R', "routine", false),
];

/// The error in the body of an ErrorResponse. None: the body is none.
pub(crate) fn server_error(body: &[u8]) -> Option<ServerError> {
    let mut texts: [Option<&str>; 128] = [None; 128];
    let mut rest = body;
    loop {
        let (&kind, after) = rest.split_first()?;
        if kind == 0 {
            break;
        }
        let end = after.iter().position(|&byte| byte == 0)?;
        let text = std::str::from_utf8(&after[..end]).ok()?;
        if let Some(place) = texts.get_mut(usize::from(kind)) {
            *place = Some(text);
        }
        rest = &after[end + 1..];
    }
    let text = |kind: u8| texts[usize::from(kind)];
    let (severity, message) = (text(b'S')?, text(b'M')?);
    // Another code could look like one of this client.
    let code = text(b'C').filter(|code| is_sqlstate(code))?;
    let mut fields = Vec::new();
    for (kind, name, is_number) in FIELDS {
        let Some(text) = text(kind) else { continue };
        let value = if is_number { text.parse::<u32>().ok()?.into() } else { Value::from(text) };
        fields.push((name, value));
    }
    Some(ServerError {
        code: code.to_owned(),
        message: message.to_owned(),
        // Poolers leave out the severity that is never translated; their other one is English.
        ends_session: matches!(text(b'V').unwrap_or(severity), "FATAL" | "PANIC"),
        is_of_fence: false,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_have_their_public_names() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mduplicate key\0Dit is there\0P7\0nitem_pkey\0Fnbtinsert.c\0L666\0\0";
        let error = server_error(body).expect("an error");
        assert_eq!((&*error.code, &*error.message, error.ends_session), ("23505", "duplicate key", false));
        let fields: Vec<String> = error.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "severity=\"FEHLER\"",
            "detail=\"it is there\"",
            "position=7",
            "constraint=\"item_pkey\"",
            "file=\"nbtinsert.c\"",
            "line=666",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_severity_says_whether_the_session_is_over() {
        let ends = |body: &[u8]| server_error(body).map(|error| error.ends_session);
        assert_eq!(ends(b"SFATAL\0C57P01\0Mbye\0\0"), Some(true));
        assert_eq!(ends(b"SFATALER FEHLER\0VFATAL\0C57P01\0Mbye\0\0"), Some(true));
        assert_eq!(ends(b"SERROR\0VERROR\0C57014\0Mcancelled\0\0"), Some(false));
    }

    #[test]
    fn what_is_no_error_is_refused() {
        for body in [
            &b""[..],
            b"\0",
            b"SERROR\0C42601\0\0",
            b"SERROR\0C42601\0Mno end",
            b"SERROR\0C42601\0Mno end\0",
            b"SERROR\0C42601\0M\xff\0\0",
            b"SERROR\0C42601\0Mtext\0Pfar\0\0",
            b"SERROR\0Cab\0Mtext\0\0",
            b"SERROR\0C\0Mtext\0\0",
        ] {
            assert!(server_error(body).is_none(), "{body:?}");
        }
        let odd = server_error(b"SERROR\0C42601\0Mtext\0\xc8text\0\0").expect("an error");
        assert_eq!(odd.code, "42601", "a field that is not known is left out");
    }
}
