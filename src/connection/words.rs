//! An error of tokio-postgres, in words.

use super::wire::Violation;

/// An error with its causes, which tokio-postgres leaves out of its own message.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    if let Some(violation) = violation(error) {
        return violation.to_string();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// How the server broke the protocol, if it is that.
pub(crate) fn violation(error: &tokio_postgres::Error) -> Option<&Violation> {
    std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()
}
