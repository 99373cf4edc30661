//! What a strategy for reads gets instead of a counter and a generator of its own, so that it is a pure function.

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// What differs from one choice to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    /// Counts the choices.
    pub(crate) turn: u64,
    /// Two numbers from 0 to 1, the 1 excluded, drawn at random.
    pub(crate) a: f64,
    pub(crate) b: f64,
}

impl Draws {
    /// A number from 0 to 1 for this turn. Each turn's number falls into the largest gaps that earlier turns have left
    /// (multiples of the golden ratio; Knuth, The Art of Computer Programming, 6.4). So each part of the line from 0 to
    /// 1 gets its share of the turns, exact to a few of them, and at even distances.
    pub(super) fn spread(&self) -> f64 {
        (self.turn.wrapping_mul(GOLDEN) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
