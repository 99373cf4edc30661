//! How observations lose weight with time.

/// Microseconds after which an observation counts for 1/e: 10 s, as in Finagle's PeakEwma.
pub(super) const TAU: u64 = 10_000_000;
/// Up to here `1 - x` is exp(-x) to one part in a million. Each choice looks at all nodes, most of which have answered
/// within the last few milliseconds, and an exponential function takes longer than the rest of a node's cost.
const SMALL: f64 = 0.001;

/// What is left of an observation made at `then`.
pub(super) fn kept(then_us: u64, now_us: u64) -> f64 {
    let age = now_us.saturating_sub(then_us) as f64 / TAU as f64;
    if age < SMALL { 1.0 - age } else { (-age).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_fades_to_1_e_in_10_s() {
        let ages = [0, 1, 5_000, 9_999, 10_000, 10_001, 1_000_000, 10_000_000, 60_000_000];
        for age in ages {
            let exact = (-(age as f64) / 1e7).exp();
            let found = kept(5, 5 + age);
            assert!((found - exact).abs() < 1e-6, "{age} us: {found} instead of {exact}");
        }
        assert!(kept(9, 3) >= 1.0, "a time that goes backwards");
    }
}
