//! The node with the fewest statements in flight; of equal nodes the one with the fewest connections; then in turn.

use crate::cluster::balance::candidate::Candidate;

/// See [`super::Strategy`]. A node that suits well goes before one that is only a fallback, however busy it is.
pub(crate) fn choose(candidates: &[Candidate], turn: usize) -> Option<usize> {
    let count = candidates.len();
    let start = turn.checked_rem(count)?;
    let in_turn = (0..count).map(|step| &candidates[(start + step) % count]);
    // min_by_key returns the first of several equal candidates.
    let best = in_turn.min_by_key(|candidate| (candidate.fit, candidate.in_flight, candidate.connections));
    best.map(|candidate| candidate.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::role::Fit::{self, Fallback, Good};

    /// Node, fit, statements in flight, connections.
    type Row = (usize, Fit, usize, usize);

    fn candidate((node, fit, in_flight, connections): Row) -> Candidate {
        Candidate { node, fit, in_flight, connections }
    }

    #[test]
    fn the_least_busy_node_of_the_best_fit_is_chosen() {
        let table: Vec<(&str, Vec<Row>, usize, Option<usize>)> = vec![
            ("nobody", vec![], 0, None),
            ("the only one", vec![(2, Good, 9, 9)], 0, Some(2)),
            ("the fewest in flight", vec![(0, Good, 3, 1), (1, Good, 1, 9), (2, Good, 2, 1)], 0, Some(1)),
            ("then the fewest connections", vec![(0, Good, 1, 3), (1, Good, 1, 2)], 0, Some(1)),
            ("a fallback is not chosen while another suits", vec![(0, Fallback, 0, 0), (1, Good, 50, 10)], 0, Some(1)),
            ("a fallback when nothing else is there", vec![(0, Fallback, 5, 1), (1, Fallback, 4, 1)], 0, Some(1)),
            ("equal nodes: first turn", vec![(0, Good, 0, 1), (1, Good, 0, 1), (2, Good, 0, 1)], 0, Some(0)),
            ("equal nodes: second turn", vec![(0, Good, 0, 1), (1, Good, 0, 1), (2, Good, 0, 1)], 1, Some(1)),
            ("equal nodes: the turn wraps", vec![(0, Good, 0, 1), (1, Good, 0, 1), (2, Good, 0, 1)], 5, Some(2)),
        ];
        for (name, candidates, turn, expected) in table {
            let candidates: Vec<_> = candidates.into_iter().map(candidate).collect();
            assert_eq!(choose(&candidates, turn), expected, "{name}");
        }
    }

    #[test]
    fn over_many_choices_equal_nodes_get_equal_shares() {
        let mut nodes: Vec<_> = (0..3).map(|node| candidate((node, Good, 0, 0))).collect();
        for turn in 0..300 {
            let chosen = choose(&nodes, turn).expect("a node");
            nodes[chosen].in_flight += 1;
        }
        assert!(nodes.iter().all(|node| node.in_flight == 100), "{nodes:?}");
    }
}
