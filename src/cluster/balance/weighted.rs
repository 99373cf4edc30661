//! Each node in proportion to its weight.

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::portions::proportional;

/// `'weighted'`: each node in proportion to its weight (`reads.weights`), exact over a few hundred reads, and evenly
/// mixed: a node of weight 3 does not get three reads in a row.
pub(crate) fn choose(candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
    // When all weights are 0, proportional would have nothing to go by.
    if candidates.iter().all(|candidate| candidate.weight <= 0.0) {
        return proportional(candidates, draws.spread(), |candidate| candidate.share);
    }
    proportional(candidates, draws.spread(), |candidate| candidate.weight * candidate.share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::balance::tests::{assert_shares, shares_of, started, weighted};

    #[test]
    fn each_node_in_proportion_to_its_weight() {
        assert_shares("1 to 3", choose, &[weighted(0, 1.0), weighted(1, 3.0)], &[1.0, 3.0]);
        assert_shares("0.1 to 0.2", choose, &[weighted(0, 0.1), weighted(1, 0.2)], &[1.0, 2.0]);
        assert_shares("one of weight 0", choose, &[weighted(0, 0.0), weighted(1, 3.0)], &[0.0, 1.0]);
        assert_shares("all of weight 0", choose, &[weighted(0, 0.0), weighted(1, 0.0)], &[1.0, 1.0]);
        let slow = ReadCandidate { weight: 3.0, ..started(1, 0.5) };
        assert_shares("a slow start", choose, &[weighted(0, 1.0), slow], &[2.0, 3.0]);
    }

    #[test]
    fn the_shares_are_exact_over_a_few_hundred_reads() {
        let nodes = [weighted(0, 1.0), weighted(1, 3.0), weighted(2, 6.0)];
        let shares = shares_of(choose, &nodes, 300);
        for (share, expected) in shares.iter().zip([0.1, 0.3, 0.6]) {
            assert!((share - expected).abs() * 300.0 <= 3.0, "{shares:?}: more than three reads from its share");
        }
    }

    #[test]
    fn the_nodes_are_mixed() {
        let nodes = [weighted(0, 1.0), weighted(1, 3.0)];
        let turns = (0..400).map(|turn| choose(&nodes, Draws { turn, a: 0.0, b: 0.0 }));
        let chosen: Vec<_> = turns.flatten().collect();
        let most_in_a_row = chosen.chunk_by(|one, next| one == next).map(<[usize]>::len).max();
        assert!(most_in_a_row <= Some(4), "{most_in_a_row:?} reads in a row");
    }
}
