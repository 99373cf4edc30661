//! What can be wrong with a value that arrives, and with one that is sent.

/// What was wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The type has one length, and this is not it.
    #[error("{got} bytes where the type has {expected}")]
    Length {
        /// The type's length in bytes.
        expected: usize,
        /// The value's length in bytes.
        got: usize,
    },
    /// The value ends before it is complete.
    #[error("the value ends too early")]
    Truncated,
    /// Something follows the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// Text is not UTF-8.
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// An array has elements of another type than announced.
    #[error("an array of elements of type {got} where type {expected} was announced")]
    ElementType {
        /// The oid of the announced element type.
        expected: u32,
        /// The oid in the value.
        got: u32,
    },
    /// The value, or the batch it is in, is larger than JavaScript can hold.
    #[error("the value is too large for a JavaScript string or Buffer")]
    TooLarge,
    /// A composite type has other attributes than it had.
    #[error("the composite type has changed since the server was asked about it")]
    Changed,
    /// A field has an impossible value.
    #[error("the value holds {0}")]
    Invalid(&'static str),
}

/// Why a parameter cannot be sent; names the type and what JavaScript gave, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParamError {
    /// The bytes are not what frame-writer.js writes: a bug of this client, not a mistake of the user.
    #[error("malformed parameters: {0}")]
    Malformed(&'static str),
    /// A value of the right kind, outside the range of the type.
    #[error("{value} does not fit {ty}")]
    DoesNotFit {
        /// What JavaScript gave.
        value: &'static str,
        /// The parameter's type.
        ty: String,
    },
    /// NaN or an infinity for a type that has none.
    #[error("{value} is no {ty}")]
    IsNo {
        /// What JavaScript gave.
        value: &'static str,
        /// The parameter's type.
        ty: String,
    },
    /// A value that the type does not take.
    #[error("{value} cannot be sent as {ty}")]
    CannotSend {
        /// What JavaScript gave.
        value: &'static str,
        /// The parameter's type.
        ty: String,
    },
    /// An object with a member that its type does not have.
    #[error("{member:?} is no member of {ty}")]
    UnknownMember {
        /// The member's name.
        member: String,
        /// The parameter's type.
        ty: String,
    },
    /// A range with unknown bounds.
    #[error("bounds of a range must be one of '[)', '[]', '(]', '()'")]
    Bounds,
    /// Text with U+0000.
    #[error("string contains a NUL character, which PostgreSQL text cannot hold")]
    Nul,
    /// A Date without a time.
    #[error("invalid Date")]
    InvalidDate,
    /// Sub-arrays of different lengths.
    #[error("array is ragged: {ty} needs sub-arrays of the same length")]
    Ragged {
        /// The parameter's type.
        ty: String,
    },
    /// More dimensions than PostgreSQL has.
    #[error("array has more than 6 dimensions, the most {ty} can have")]
    TooDeep {
        /// The parameter's type.
        ty: String,
    },
}
