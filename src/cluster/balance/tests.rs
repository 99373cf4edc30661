//! What all strategies for reads promise, and helpers for the tests of each.

use std::hint::black_box;
use std::time::Instant;

use crate::cluster::balance::{Balance, Draws, ReadCandidate};

const ALL: [Balance; 6] = [
    Balance::RoundRobin,
    Balance::Random,
    Balance::Weighted,
    Balance::LeastConnections,
    Balance::ResponseTime,
    Balance::HealthAware,
];

/// A small generator of random numbers with a seed (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
#[derive(Debug)]
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1, the 1 excluded.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// An idle node of which nothing is known.
pub(super) fn read_candidate(node: usize) -> ReadCandidate {
    ReadCandidate { node, in_flight: 0, weight: 1.0, share: 1.0, latency_us: 0.0, lag_ms: 0.0, error_rate: 0.0 }
}

pub(super) fn busy(node: usize, in_flight: usize) -> ReadCandidate {
    ReadCandidate { in_flight, ..read_candidate(node) }
}

pub(super) fn started(node: usize, share: f64) -> ReadCandidate {
    ReadCandidate { share, ..read_candidate(node) }
}

pub(super) fn weighted(node: usize, weight: f64) -> ReadCandidate {
    ReadCandidate { weight, ..read_candidate(node) }
}

/// The share of each candidate, whose nodes are 0, 1, 2 and so on, in so many choices.
pub(super) fn shares_of(
    choose: impl Fn(&[ReadCandidate], Draws) -> Option<usize>,
    candidates: &[ReadCandidate],
    choices: u64,
) -> Vec<f64> {
    let mut random = SplitMix64(1);
    let mut counts = vec![0_u64; candidates.len()];
    for turn in 0..choices {
        let draws = Draws { turn, a: random.unit(), b: random.unit() };
        counts[choose(candidates, draws).expect("a node")] += 1;
    }
    counts.into_iter().map(|count| count as f64 / choices as f64).collect()
}

/// The shares of 100,000 choices are as `expected`, which need not add up to 1: each within 5 %.
pub(super) fn assert_shares(
    name: &str,
    choose: impl Fn(&[ReadCandidate], Draws) -> Option<usize>,
    candidates: &[ReadCandidate],
    expected: &[f64],
) {
    let total: f64 = expected.iter().sum();
    let shares = shares_of(choose, candidates, 100_000);
    let is_near = |(share, expected): (&f64, &f64)| (share - expected / total).abs() <= 0.05 * expected / total;
    assert!(shares.iter().zip(expected).all(is_near), "{name}: {shares:?} instead of {expected:?}");
}

#[test]
fn each_strategy_chooses_nobody_of_none_and_the_only_one_of_one() {
    for balance in ALL {
        let draws = Draws { turn: 5, a: 0.99, b: 0.99 };
        assert_eq!(balance.choose(&[], draws), None, "{balance:?}");
        assert_eq!(balance.choose(&[busy(7, 3)], draws), Some(7), "{balance:?}");
        assert_eq!(balance.choose(&[weighted(7, 0.0)], draws), Some(7), "{balance:?} of weight 0");
        assert_eq!(balance.choose(&[started(7, 0.1)], draws), Some(7), "{balance:?} of a tenth");
    }
}

#[test]
fn each_strategy_chooses_a_node_of_weight_0_only_when_all_have_weight_0() {
    for balance in ALL {
        let name = format!("{balance:?}");
        let choose = |candidates: &[ReadCandidate], draws| balance.choose(candidates, draws);
        let busy_ones = [weighted(0, 0.0), ReadCandidate { latency_us: 9e6, ..busy(1, 40) }, weighted(2, 0.0)];
        assert_shares(&name, choose, &busy_ones, &[0.0, 1.0, 0.0]);
        assert_shares(&name, choose, &[weighted(0, 0.0), weighted(1, 0.0)], &[1.0, 1.0]);
    }
}

#[test]
fn each_strategy_gives_50_equal_nodes_equal_shares() {
    for balance in ALL {
        let nodes: Vec<_> = (0..50).map(|node| ReadCandidate { latency_us: 700.0, ..busy(node, 2) }).collect();
        let shares = shares_of(|candidates, draws| balance.choose(candidates, draws), &nodes, 100_000);
        // 2000 choices each: at random a node is up to 8 % away.
        assert!(shares.iter().all(|share| (share * 50.0 - 1.0).abs() < 0.1), "{balance:?}: {shares:?}");
    }
}

#[test]
fn each_strategy_gives_a_node_that_starts_slowly_less_than_its_share() {
    for balance in ALL {
        let mut nodes: Vec<_> =
            (0..10).map(|node| ReadCandidate { latency_us: 700.0, ..read_candidate(node) }).collect();
        nodes[3].share = 0.2;
        let shares = shares_of(|candidates, draws| balance.choose(candidates, draws), &nodes, 10_000);
        assert!((0.015..0.03).contains(&shares[3]), "{balance:?}: {shares:?}");
    }
}

#[test]
fn the_names_of_the_strategies_are_those_of_the_option() {
    let names = r#"["round-robin", "random", "weighted", "least-connections", "response-time", "health-aware"]"#;
    assert_eq!(serde_json::from_str::<Vec<Balance>>(names).expect("names"), ALL);
    assert_eq!(Balance::default(), Balance::LeastConnections);
    let error = serde_json::from_str::<Balance>(r#""fastest""#).expect_err("no such strategy");
    assert!(error.to_string().starts_with("unknown variant `fastest`"), "{error}");
}

/// `cargo test --release --lib -- --ignored --nocapture cost_of_choosing`
#[test]
#[ignore = "prints times and asserts nothing"]
fn cost_of_choosing() {
    const CHOICES: u64 = 1_000_000;
    println!("{:<18} {:>10} {:>10}   ns for each choice", "", "3 nodes", "50 nodes");
    for balance in ALL {
        let cost = |count: usize| {
            let candidate = |node| ReadCandidate { latency_us: 700.0 + node as f64, ..busy(node, node % 3) };
            let candidates: Vec<_> = (0..count).map(candidate).collect();
            let mut random = SplitMix64(1);
            let draws: Vec<_> = (0..1024).map(|turn| Draws { turn, a: random.unit(), b: random.unit() }).collect();
            let start = Instant::now();
            for turn in 0..CHOICES {
                let draws = Draws { turn, ..draws[turn as usize % draws.len()] };
                black_box(balance.choose(black_box(&candidates), draws));
            }
            start.elapsed().as_nanos() as f64 / CHOICES as f64
        };
        println!("{:<18} {:>10.1} {:>10.1}", format!("{balance:?}"), cost(3), cost(50));
    }
}
