//! How a pool treats its sessions: how large a result may be, whether statements have names, and what is reset between
//! two users of a session.

#[derive(Debug, Default)]
pub(crate) struct SessionPolicy {
    /// Bytes of a result at most.
    pub(crate) result_limit: Option<usize>,
    /// Whether statements have names; None: they have, unless there is a pooler.
    pub(crate) prepare: Option<bool>,
    pub(crate) reset: Reset,
}

/// What is reset between two users of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Settings, if they were changed.
    #[default]
    Changes,
    Nothing,
    /// Everything (DISCARD ALL), each time.
    Discard,
    /// This SQL runs each time.
    Sql(String),
}
