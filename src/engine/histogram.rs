//! A histogram of durations: lock-free, of fixed size, with decimal bounds.
//!
//! Up to 99 us each microsecond has a bucket; from there on each decade has 90 buckets, one for each pair of leading
//! digits. So a bucket is at most a tenth of its lower bound wide, and the bounds that people write (100 us, 2.5 ms,
//! 0.5 s) are exact bounds of buckets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::engine::counter::Counter;

/// Buckets of one decade: 10 to 99.
const OF_DECADE: usize = 90;
/// Durations from 10^8 us (100 s) on share the last bucket.
const LONGEST: u64 = 100_000_000;
/// 0 to 9 us, seven decades, and the last bucket.
const BUCKETS: usize = 10 + 7 * OF_DECADE + 1;

/// How often which durations occurred. The buckets take 5 KB, from the first duration on.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    sum: Counter,
    longest: AtomicU64,
    buckets: OnceLock<Box<[Counter; BUCKETS]>>,
}

fn bucket_of(micros: u64) -> usize {
    if micros < 10 {
        return micros as usize;
    }
    if micros >= LONGEST {
        return BUCKETS - 1;
    }
    let decade = micros.ilog10() - 1;
    decade as usize * OF_DECADE + (micros / 10_u64.pow(decade)) as usize
}

/// The bound that all durations of a bucket are below.
fn bound_of(bucket: usize) -> u64 {
    if bucket < 10 {
        return bucket as u64 + 1;
    }
    let (decade, digits) = ((bucket - 10) / OF_DECADE, (bucket - 10) % OF_DECADE);
    (digits as u64 + 11) * 10_u64.pow(decade as u32)
}

impl Histogram {
    pub(crate) fn record(&self, micros: u64) {
        let buckets = self.buckets.get_or_init(|| Box::new([const { Counter::new() }; BUCKETS]));
        buckets[bucket_of(micros)].add(1);
        self.sum.add(micros);
        if micros > self.longest.load(Ordering::Relaxed) {
            self.longest.store(micros, Ordering::Relaxed);
        }
    }

    /// Its numbers, with the buckets that are not empty: `[bound, count]`, where `count` durations were below the bound
    /// and not below the bound of the bucket before it.
    pub(crate) fn report(&self) -> Value {
        let longest = self.longest.load(Ordering::Relaxed);
        let mut count = 0;
        let mut buckets = Vec::new();
        for (index, bucket) in self.buckets.get().map(|buckets| buckets.iter()).into_iter().flatten().enumerate() {
            let here = bucket.get();
            if here > 0 {
                count += here;
                let bound = if index == BUCKETS - 1 { longest.max(LONGEST) + 1 } else { bound_of(index) };
                buckets.push(json!([bound, here]));
            }
        }
        json!({ "count": count, "sumUs": self.sum.get(), "maxUs": longest, "buckets": buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_whose_bounds_hold_it() {
        for micros in (0..3_000).chain([9_999, 10_000, 25_000, 99_999, 100_000, 500_000, 1_234_567, 99_999_999]) {
            let bucket = bucket_of(micros);
            assert!(micros < bound_of(bucket), "{micros}");
            assert!(bucket == 0 || micros >= bound_of(bucket - 1), "{micros}");
        }
        assert_eq!((bucket_of(LONGEST), bucket_of(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn decimal_bounds_are_bounds_of_buckets() {
        let bounds: Vec<u64> = (0..BUCKETS - 1).map(bound_of).collect();
        for micros in [100, 250, 500, 1_000, 2_500, 75_000, 500_000, 1_000_000, 10_000_000, 100_000_000] {
            assert!(bounds.contains(&micros), "{micros}");
        }
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_report_has_what_was_recorded() {
        let histogram = Histogram::default();
        assert_eq!(histogram.report(), json!({ "count": 0, "sumUs": 0, "maxUs": 0, "buckets": [] }));
        for micros in [3, 120, 124, 200_000_000] {
            histogram.record(micros);
        }
        let buckets = json!([[4, 1], [130, 2], [200_000_001, 1]]);
        let expected = json!({ "count": 4, "sumUs": 200_000_247, "maxUs": 200_000_000, "buckets": buckets });
        assert_eq!(histogram.report(), expected);
    }
}
