//! Which node a statement is to run on.
//!
//! Every statement carries a [`Route`]. The public option `mode` is the route of the calls that name none.

use serde::Deserialize;

/// Which node a statement is to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The primary that accepts writes. The fence matters.
    Primary,
    /// A node to read from. It need not accept writes.
    Read { from: ReadFrom },
}

/// Which nodes a read may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// Any node.
    Any,
    /// The node that is not in recovery, fenced or not.
    Primary,
    /// A node whose sessions are read-only: a standby, or a primary with `default_transaction_read_only`.
    ReadOnly,
    /// A node in recovery.
    Standby,
    /// A standby when one is up, else the primary.
    PreferStandby,
    /// The node at this place in the list of hosts, whatever its role, over sessions that cannot write: a read of
    /// `pool.read`, for which `cluster::placement` has chosen the node.
    Node(usize),
}

/// The public option `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    #[default]
    ReadWrite,
    ReadOnly,
    PreferStandby,
    Any,
    Primary,
    Standby,
}

impl From<Mode> for Route {
    fn from(mode: Mode) -> Self {
        let from = match mode {
            Mode::ReadWrite => return Self::Primary,
            Mode::ReadOnly => ReadFrom::ReadOnly,
            Mode::PreferStandby => ReadFrom::PreferStandby,
            Mode::Any => ReadFrom::Any,
            Mode::Primary => ReadFrom::Primary,
            Mode::Standby => ReadFrom::Standby,
        };
        Self::Read { from }
    }
}

impl Route {
    /// The name of the missing node in error messages.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::Primary => "writable primary",
            Self::Read { from: ReadFrom::ReadOnly } => "read-only node",
            Self::Read { from: ReadFrom::PreferStandby | ReadFrom::Any | ReadFrom::Node(_) } => "node",
            Self::Read { from: ReadFrom::Primary } => "primary",
            Self::Read { from: ReadFrom::Standby } => "standby",
        }
    }

    /// Whether no node on this route accepts writes, so that each statement is a read and may be run again.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self, Self::Read { from: ReadFrom::ReadOnly | ReadFrom::Standby | ReadFrom::Node(_) })
    }

    /// The only node that is right, if there is one.
    pub(crate) fn node(self) -> Option<usize> {
        match self {
            Self::Read { from: ReadFrom::Node(node) } => Some(node),
            _ => None,
        }
    }

    /// Whether only the primary is right, so that of two primaries one must be chosen.
    pub(crate) fn wants_primary(self) -> bool {
        matches!(self, Self::Primary | Self::Read { from: ReadFrom::Primary })
    }

    /// Whether connections must be able to write, so that the fence matters.
    pub(crate) fn must_write(self) -> bool {
        self == Self::Primary
    }
}
