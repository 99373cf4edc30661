//! The node with the fewest reads in flight.

use std::cmp::Ordering;

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::portions::eligible;

/// `'least-connections'`: the node with the fewest statements in flight; of equal nodes each in its turn. Weights other
/// than 0 do not matter.
pub(crate) fn choose(candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
    let (mut lowest, mut equals) = (f64::INFINITY, 0);
    for load in eligible(candidates).map(|candidate| candidate.load(draws.a)) {
        match load.total_cmp(&lowest) {
            Ordering::Less => (lowest, equals) = (load, 1),
            Ordering::Equal => equals += 1,
            Ordering::Greater => {}
        }
    }
    // A turn over the equal nodes only: the one behind a busy node would get the turns of that, too.
    let turn = draws.turn.checked_rem(equals)?;
    let mut equal_nodes = eligible(candidates).filter(|candidate| candidate.load(draws.a) <= lowest);
    equal_nodes.nth(turn as usize).map(|candidate| candidate.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::balance::tests::{SplitMix64, assert_shares, busy, read_candidate, started, weighted};

    #[test]
    fn the_least_busy_node_is_chosen_and_equal_ones_in_turn() {
        let table: Vec<(&str, Vec<ReadCandidate>, u64, Option<usize>)> = vec![
            ("nobody", vec![], 0, None),
            ("the only one", vec![busy(4, 9)], 7, Some(4)),
            ("the fewest in flight", vec![busy(0, 3), busy(1, 1), busy(2, 2)], 0, Some(1)),
            ("equal nodes: first turn", vec![busy(0, 1), busy(1, 1), busy(2, 2)], 0, Some(0)),
            ("equal nodes: second turn", vec![busy(0, 1), busy(1, 1), busy(2, 2)], 1, Some(1)),
            ("equal nodes: the turn wraps", vec![busy(0, 1), busy(1, 1), busy(2, 2)], 2, Some(0)),
            ("weight 0 although idle", vec![weighted(0, 0.0), busy(1, 50)], 0, Some(1)),
        ];
        for (name, candidates, turn, expected) in table {
            assert_eq!(choose(&candidates, Draws { turn, a: 0.5, b: 0.5 }), expected, "{name}");
        }
    }

    #[test]
    fn idle_nodes_share_evenly_and_one_that_starts_slowly_gets_its_part() {
        assert_shares("idle", choose, &[started(0, 1.0), started(1, 1.0), started(2, 1.0)], &[1.0, 1.0, 1.0]);
        // A quarter of the draws have both nodes equal, and then they take turns.
        assert_shares("idle, a slow start", choose, &[started(0, 1.0), started(1, 0.25)], &[7.0, 1.0]);
    }

    #[test]
    fn under_load_a_node_that_starts_slowly_has_its_part_in_flight() {
        let mut nodes = [started(0, 1.0), started(1, 1.0), started(2, 0.2), read_candidate(3)];
        let mut random = SplitMix64(7);
        for turn in 0..3_200 {
            let chosen = choose(&nodes, Draws { turn, a: random.unit(), b: random.unit() }).expect("a node");
            nodes[chosen].in_flight += 1;
        }
        let in_flight = nodes.map(|node| node.in_flight);
        assert!((190..=210).contains(&in_flight[2]) && in_flight[0].abs_diff(in_flight[3]) <= 1, "{in_flight:?}");
    }
}
