//! Each node in proportion to how well it does.

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::portions::{eligible, proportional};

/// `'health-aware'`: at random, each node in proportion to
///
/// ```text
/// weight / (latency * (1 + inFlight / weight) * (1 + lagMs / 1000) * (1 + 10 * errorRate))
/// ```
///
/// - `weight`: of `reads.weights`, divided by the largest weight; while the node starts slowly, times its share
/// - `latency`: a moving average of its reads that takes peaks at once; the lowest of all nodes while it is not known
/// - `inFlight`: reads of this pool that run on it
/// - `lagMs`: how far its replay is behind
/// - `errorRate`: the share of its reads that failed of late
///
/// So a node that takes twice as long gets half the reads, one that is a second behind gets half, one of which every
/// tenth read fails gets half. Not all reads go to the best node: every process that sees the same figures would choose
/// the same node, and make it the worst. `inFlight` is divided by the weight, as a node of twice the weight is as busy
/// as the others with twice the reads.
pub(crate) fn choose(candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
    let (mut lowest_latency, mut largest_weight) = (f64::INFINITY, 0.0_f64);
    for candidate in eligible(candidates) {
        largest_weight = largest_weight.max(candidate.weight);
        if candidate.latency_us > 0.0 {
            lowest_latency = lowest_latency.min(candidate.latency_us);
        }
    }
    let unknown_latency = if lowest_latency.is_finite() { lowest_latency } else { 1.0 };
    let scale = 1.0 / largest_weight;
    proportional(candidates, draws.a, |candidate| {
        let weight = if largest_weight > 0.0 { candidate.weight * scale } else { 1.0 } * candidate.share;
        let latency = if candidate.latency_us > 0.0 { candidate.latency_us } else { unknown_latency };
        let health = (1.0 + candidate.lag_ms * 0.001) * (1.0 + 10.0 * candidate.error_rate);
        // weight / (1 + in_flight / weight) with one division.
        weight * weight / (latency * (weight + candidate.in_flight as f64) * health)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::balance::tests::{SplitMix64, assert_shares, read_candidate, started, weighted};

    fn node() -> ReadCandidate {
        ReadCandidate { latency_us: 1000.0, ..read_candidate(0) }
    }

    #[test]
    fn each_figure_has_its_part_in_the_share() {
        let second = |candidate| ReadCandidate { node: 1, ..candidate };
        let table = [
            ("equal nodes", node(), [1.0, 1.0]),
            ("twice the latency", ReadCandidate { latency_us: 2000.0, ..node() }, [2.0, 1.0]),
            ("an unknown latency", ReadCandidate { latency_us: 0.0, ..node() }, [1.0, 1.0]),
            ("one in flight", ReadCandidate { in_flight: 1, ..node() }, [2.0, 1.0]),
            ("a second behind", ReadCandidate { lag_ms: 1000.0, ..node() }, [2.0, 1.0]),
            ("a tenth fails", ReadCandidate { error_rate: 0.1, ..node() }, [2.0, 1.0]),
            ("everything fails", ReadCandidate { error_rate: 1.0, ..node() }, [11.0, 1.0]),
            ("three times the weight", ReadCandidate { weight: 3.0, ..node() }, [1.0, 3.0]),
            ("a quarter of its share", ReadCandidate { share: 0.25, ..node() }, [4.0, 1.0]),
            ("weight 0", ReadCandidate { weight: 0.0, ..node() }, [1.0, 0.0]),
        ];
        for (name, other, expected) in table {
            assert_shares(name, choose, &[node(), second(other)], &expected);
        }
        assert_shares("no latency is known", choose, &[read_candidate(0), started(1, 0.5)], &[2.0, 1.0]);
        assert_shares("all weights are 0", choose, &[weighted(0, 0.0), weighted(1, 0.0)], &[1.0, 1.0]);
    }

    #[test]
    fn an_unknown_latency_counts_as_the_lowest_one() {
        let quick = ReadCandidate { latency_us: 500.0, ..read_candidate(1) };
        assert_shares("unknown", choose, &[node(), quick, read_candidate(2)], &[1.0, 2.0, 2.0]);
    }

    #[test]
    fn under_load_the_reads_in_flight_are_in_proportion_to_weight_and_share() {
        let mut nodes = [weighted(0, 1.0), weighted(1, 4.0), started(2, 0.5)];
        let mut random = SplitMix64(3);
        for turn in 0..11_000 {
            let chosen = choose(&nodes, Draws { turn, a: random.unit(), b: random.unit() }).expect("a node");
            nodes[chosen].in_flight += 1;
        }
        let in_flight = nodes.map(|node| node.in_flight);
        for (found, expected) in in_flight.into_iter().zip([2_000, 8_000, 1_000_usize]) {
            assert!(found.abs_diff(expected) < expected / 20, "{in_flight:?}");
        }
    }
}
