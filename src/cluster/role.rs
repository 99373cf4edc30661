//! Which node suits which pool: pure functions over what a node says of itself.

use serde::Deserialize;

use crate::connection::probe::Role;

/// Which nodes a pool may use (the public option `mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// A primary that accepts writes.
    #[default]
    ReadWrite,
    /// A session that is read-only: a standby, or a primary with `default_transaction_read_only`.
    ReadOnly,
    /// A standby when one is up, else the primary.
    PreferStandby,
    /// Any node.
    Any,
    /// The node that is not in recovery, fenced or not.
    Primary,
    /// A node in recovery.
    Standby,
}

impl Mode {
    /// How an error message calls the node that could not be found.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::ReadWrite => "writable primary",
            Self::ReadOnly => "read-only node",
            Self::PreferStandby | Self::Any => "node",
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }

    /// Whether all that runs in such a pool is a read, so that it may be run again.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Standby)
    }

    /// Whether there is one node for it, so that of two primaries only one can be right.
    pub(crate) fn wants_primary(self) -> bool {
        matches!(self, Self::ReadWrite | Self::Primary)
    }

    /// Whether connections must be able to write, so that the fence matters.
    pub(crate) fn must_write(self) -> bool {
        self == Self::ReadWrite
    }
}

/// How well a node fits a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Use it.
    Good,
    /// Use it when nothing better is up.
    Fallback,
    /// Do not use it.
    No,
}

/// The rule "does this node suit this pool".
pub(crate) fn fit(mode: Mode, role: Role) -> Fit {
    let suits = match mode {
        Mode::Any => true,
        Mode::ReadWrite => !role.in_recovery && !role.read_only,
        Mode::ReadOnly => role.in_recovery || role.read_only,
        Mode::Primary => !role.in_recovery,
        Mode::Standby => role.in_recovery,
        Mode::PreferStandby if role.in_recovery => true,
        Mode::PreferStandby => return Fit::Fallback,
    };
    if suits { Fit::Good } else { Fit::No }
}

/// Why a node does not suit, in the words of NoPrimaryError.
pub(crate) fn misfit(mode: Mode, role: Role) -> &'static str {
    match (role.in_recovery, role.read_only) {
        (true, _) => "is a standby (in recovery)",
        (false, true) if mode == Mode::ReadWrite => "is fenced (default_transaction_read_only is on)",
        (false, _) => "is a primary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITABLE: Role = Role { in_recovery: false, read_only: false };
    const FENCED: Role = Role { in_recovery: false, read_only: true };
    const STANDBY: Role = Role { in_recovery: true, read_only: false };
    const STANDBY_RO: Role = Role { in_recovery: true, read_only: true };

    #[test]
    fn every_mode_over_every_role() {
        use Fit::{Fallback, Good, No};
        let table = [
            (Mode::ReadWrite, [Good, No, No, No]),
            (Mode::ReadOnly, [No, Good, Good, Good]),
            (Mode::PreferStandby, [Fallback, Fallback, Good, Good]),
            (Mode::Any, [Good, Good, Good, Good]),
            (Mode::Primary, [Good, Good, No, No]),
            (Mode::Standby, [No, No, Good, Good]),
        ];
        for (mode, expected) in table {
            let got = [WRITABLE, FENCED, STANDBY, STANDBY_RO].map(|role| fit(mode, role));
            assert_eq!(got, expected, "{mode:?}");
        }
    }
}
