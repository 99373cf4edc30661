//! What several strategies for reads do: leave out nodes of weight 0, and choose in proportion to something.

use crate::cluster::balance::candidate::ReadCandidate;

/// The candidates without those of weight 0; all of them when all have weight 0.
pub(super) fn eligible(candidates: &[ReadCandidate]) -> impl Iterator<Item = &ReadCandidate> {
    let is_weighted = candidates.iter().any(|candidate| candidate.weight > 0.0);
    candidates.iter().filter(move |candidate| !is_weighted || candidate.weight > 0.0)
}

/// The node at `point` (from 0 to 1) of a line on which each eligible candidate has a part as long as its portion.
pub(super) fn proportional(
    candidates: &[ReadCandidate],
    point: f64,
    portion: impl Fn(&ReadCandidate) -> f64,
) -> Option<usize> {
    let total: f64 = eligible(candidates).map(&portion).sum();
    let mut rest = point * total;
    let mut chosen = None;
    for candidate in eligible(candidates) {
        chosen = Some(candidate.node);
        rest -= portion(candidate);
        if rest < 0.0 {
            break;
        }
    }
    // The last one when rounding has left a rest.
    chosen
}
