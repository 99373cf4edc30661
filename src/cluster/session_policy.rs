//! How a pool's sessions behave beyond what PostgreSQL's protocol says: how large a result may be, whether statements are
//! named, and what a session is cleared of between two users.

#[derive(Debug, Default)]
pub(crate) struct SessionPolicy {
    /// Bytes of a result at most.
    pub(crate) result_limit: Option<usize>,
    /// Whether statements are prepared under names; none: unless a pooler stands in between.
    pub(crate) prepare: Option<bool>,
    pub(crate) reset: Reset,
}

/// What is undone between two users of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Settings, when they were changed.
    #[default]
    Changes,
    Nothing,
    /// All that a session can hold, each time.
    Discard,
    /// What this SQL undoes, each time.
    Sql(String),
}
