//! Any node.

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::portions::proportional;

/// `'random'`: each node as likely as any other; a node that starts slowly is less likely. Weights other than 0 do not
/// matter.
pub(crate) fn choose(candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
    proportional(candidates, draws.a, |candidate| candidate.share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::balance::tests::{assert_shares, started, weighted};

    #[test]
    fn each_node_is_as_likely_as_any_other() {
        assert_shares("equal nodes", choose, &[started(0, 1.0), started(1, 1.0), started(2, 1.0)], &[1.0, 1.0, 1.0]);
        assert_shares("a slow start", choose, &[started(0, 1.0), started(1, 0.25)], &[4.0, 1.0]);
        assert_shares("weights do not matter", choose, &[weighted(0, 1.0), weighted(1, 9.0)], &[1.0, 1.0]);
    }
}
