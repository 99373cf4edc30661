//! Which node suits which route: pure functions over a node's role.

use crate::cluster::route::{ReadFrom, Route};
use crate::connection::probe::Role;

/// How well a node suits a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// It suits.
    Good,
    /// It is used when no better node is up.
    Fallback,
    /// It is not used.
    No,
}

/// How well a node of this role suits a route.
pub(crate) fn fit(route: Route, role: Role) -> Fit {
    let suits = match route {
        Route::Primary => role.is_writable(),
        Route::Read { from: ReadFrom::Any | ReadFrom::Node(_) } => true,
        Route::Read { from: ReadFrom::ReadOnly } => !role.is_writable(),
        Route::Read { from: ReadFrom::Primary } => !role.in_recovery,
        Route::Read { from: ReadFrom::Standby } => role.in_recovery,
        Route::Read { from: ReadFrom::PreferStandby } if role.in_recovery => true,
        Route::Read { from: ReadFrom::PreferStandby } => return Fit::Fallback,
    };
    if suits { Fit::Good } else { Fit::No }
}

/// Why a node of this role does not suit a route, for NoPrimaryError.
pub(crate) fn misfit(route: Route, role: Role) -> &'static str {
    match (role.in_recovery, role.read_only) {
        (true, _) => "is a standby (in recovery)",
        (false, true) if route.must_write() => "is fenced (default_transaction_read_only is on)",
        (false, _) => "is a primary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::route::Mode;

    const WRITABLE: Role = Role { in_recovery: false, read_only: false };
    const FENCED: Role = Role { in_recovery: false, read_only: true };
    const STANDBY: Role = Role { in_recovery: true, read_only: false };
    const STANDBY_RO: Role = Role { in_recovery: true, read_only: true };

    #[test]
    fn the_route_of_every_mode_over_every_role() {
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
            let got = [WRITABLE, FENCED, STANDBY, STANDBY_RO].map(|role| fit(mode.into(), role));
            assert_eq!(got, expected, "{mode:?}");
        }
    }
}
