//! One node after the other.

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::portions::{eligible, proportional};

/// `'round-robin'`: each node in its turn. While a node starts slowly, the turns are spread so that it gets its part of
/// a share, and gets it at even distances. Weights other than 0 do not matter.
pub(crate) fn choose(candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
    let starts_slowly = eligible(candidates).any(|candidate| candidate.share < 1.0);
    if starts_slowly {
        return proportional(candidates, draws.spread(), |candidate| candidate.share);
    }
    let turn = draws.turn.checked_rem(eligible(candidates).count() as u64)?;
    eligible(candidates).nth(turn as usize).map(|candidate| candidate.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::balance::tests::{assert_shares, started, weighted};

    #[test]
    fn each_node_in_its_turn() {
        let nodes: Vec<_> = (0..3).map(|node| weighted(node, 1.0)).collect();
        let chosen: Vec<_> = (0..6).filter_map(|turn| choose(&nodes, Draws { turn, a: 0.9, b: 0.9 })).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_turns_pass_over_a_node_of_weight_0() {
        let nodes = [weighted(0, 1.0), weighted(1, 0.0), weighted(2, 5.0)];
        let chosen: Vec<_> = (0..4).filter_map(|turn| choose(&nodes, Draws { turn, a: 0.0, b: 0.0 })).collect();
        assert_eq!(chosen, [0, 2, 0, 2]);
    }

    #[test]
    fn a_node_that_starts_slowly_gets_its_part_of_a_share_at_even_distances() {
        let nodes = [started(0, 1.0), started(1, 0.25), started(2, 1.0)];
        assert_shares("a slow start", choose, &nodes, &[4.0, 1.0, 4.0]);
        let turns = (0..900).filter(|&turn| choose(&nodes, Draws { turn, a: 0.0, b: 0.0 }) == Some(1));
        let turns: Vec<_> = turns.collect();
        let distances = turns.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(distances.clone().all(|distance| (5..=13).contains(&distance)), "{:?}", distances.collect::<Vec<_>>());
    }
}
