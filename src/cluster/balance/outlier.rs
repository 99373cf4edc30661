//! Takes a node that fails out of use, looks at it again after a pause, and lets it back in gradually.
//!
//! Times are microseconds that the caller passes in. The caller asks `admission` before a read, and reports how each read
//! ended. A failure means the node: its connection broke or was refused, or the server shuts down. An error of the
//! statement is a success.

/// The first pause. Each further one is twice as long, up to the longest.
const FIRST_PAUSE: u64 = 250_000;
const LONGEST_PAUSE: u64 = 30_000_000;
/// A pause is up to so much shorter or longer at random: processes that lost a node together do not return together.
const JITTER: f64 = 0.2;
/// A probe that has not ended by then is given up.
const PROBE_TIMEOUT: u64 = 5_000_000;
/// The share of a node that has just come back.
const FIRST_SHARE: f64 = 0.1;

/// Whether reads may go to a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission {
    /// They may. `share` is below 1 while the node starts slowly.
    In { share: f64 },
    /// They may not before `until`.
    Out { until: u64 },
    /// One read may, to see how the node is: its caller calls `begin_probe`.
    Probe,
}

impl Admission {
    /// The share of the node as a candidate.
    pub(crate) fn share(self) -> f64 {
        match self {
            Self::In { share } => share,
            Self::Out { .. } | Self::Probe => FIRST_SHARE,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum EjectionPhase {
    /// Never ejected.
    Steady,
    /// Back since then.
    Back {
        since: u64,
    },
    Ejected {
        until: u64,
    },
    /// A read looks at the node.
    Probed {
        since: u64,
    },
}

/// The ejection of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlier {
    phase: EjectionPhase,
    slow_start_us: u64,
    /// Pauses in a row, without a time between them in which the node was well for long enough.
    pauses: u32,
    last_pause: u64,
}

impl Outlier {
    /// `slow_start_us`: how long a node takes from its first share to its whole share.
    pub(crate) fn new(slow_start_us: u64) -> Self {
        Self { phase: EjectionPhase::Steady, slow_start_us, pauses: 0, last_pause: 0 }
    }

    /// A read failed because of the node; `jitter` is a random number from 0 to 1. The first failure ejects: that reads
    /// can run elsewhere makes a needless pause cheap, and a second failure is a second caller who waits.
    pub(crate) fn failed(&mut self, now: u64, jitter: f64) {
        match self.phase {
            // All reads that were in flight fail with the first one: together they are one failure.
            EjectionPhase::Ejected { .. } => return,
            EjectionPhase::Back { since } if now.saturating_sub(since) >= self.slow_start_us + self.last_pause => {
                self.pauses = 0;
            }
            EjectionPhase::Steady | EjectionPhase::Back { .. } | EjectionPhase::Probed { .. } => {}
        }
        self.pauses += 1;
        let doublings = (self.pauses - 1).min(16);
        let pause = (FIRST_PAUSE << doublings).min(LONGEST_PAUSE) as f64;
        self.last_pause = (pause * (1.0 - JITTER + 2.0 * JITTER * jitter)) as u64;
        self.phase = EjectionPhase::Ejected { until: now + self.last_pause };
    }

    /// A read was answered. An ejected node that nobody probes stays out: this read was sent before the ejection.
    pub(crate) fn succeeded(&mut self, now: u64) {
        if let EjectionPhase::Probed { .. } = self.phase {
            self.phase = EjectionPhase::Back { since: now };
        }
    }

    /// A read is sent to the node as a probe; `succeeded` or `failed` ends the probe.
    pub(crate) fn begin_probe(&mut self, now: u64) {
        if let EjectionPhase::Probed { .. } = self.phase {
            // The last probe was given up: no success, so the next pause is longer.
            self.pauses += 1;
        }
        self.phase = EjectionPhase::Probed { since: now };
    }

    pub(crate) fn admission(&self, now: u64) -> Admission {
        let until = match self.phase {
            EjectionPhase::Steady => return Admission::In { share: 1.0 },
            EjectionPhase::Back { since } => return Admission::In { share: self.share(now.saturating_sub(since)) },
            EjectionPhase::Ejected { until } => until,
            EjectionPhase::Probed { since } => since + PROBE_TIMEOUT,
        };
        if now < until { Admission::Out { until } } else { Admission::Probe }
    }

    fn share(&self, back_for: u64) -> f64 {
        if back_for >= self.slow_start_us {
            return 1.0;
        }
        FIRST_SHARE + (1.0 - FIRST_SHARE) * back_for as f64 / self.slow_start_us as f64
    }
}

/// Which of the fit nodes reads may use, by their places in the list of admissions. While there is a fit node there is
/// one to use: the last one is never ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usable {
    /// Those that are in.
    In,
    /// None is in: those that may be probed.
    Probes,
    /// All are out: the one whose pause ends first.
    Only(usize),
    /// There is no node.
    Nothing,
}

impl Usable {
    pub(crate) fn of(admissions: impl IntoIterator<Item = Admission>) -> Self {
        let (mut usable, mut earliest) = (Self::Nothing, u64::MAX);
        for (place, admission) in admissions.into_iter().enumerate() {
            match admission {
                Admission::In { .. } => return Self::In,
                Admission::Probe => usable = Self::Probes,
                Admission::Out { until } if usable == Self::Nothing || (until < earliest && usable != Self::Probes) => {
                    (usable, earliest) = (Self::Only(place), until);
                }
                Admission::Out { .. } => {}
            }
        }
        usable
    }

    /// Whether reads may use the node at `place`, whose admission this is.
    pub(crate) fn allows(self, place: usize, admission: Admission) -> bool {
        match (self, admission) {
            (Self::In, Admission::In { .. }) | (Self::Probes, Admission::Probe) => true,
            (Self::Only(only), _) => only == place,
            _ => false,
        }
    }
}

/// The place of a node that the next read should probe. Probes go before the choice among the nodes that are in: an
/// ejected node would never come back otherwise. `turn` spreads the probes when several are due.
pub(crate) fn due_probe(admissions: impl Iterator<Item = Admission> + Clone, turn: u64) -> Option<usize> {
    let due = admissions.enumerate().filter(|(_, admission)| *admission == Admission::Probe);
    let nth = turn.checked_rem(due.clone().count() as u64)?;
    due.map(|(place, _)| place).nth(nth as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;
    const SECOND: u64 = 1_000_000;
    /// The jitter that leaves a pause as it is.
    const NONE: f64 = 0.5;
    const SLOW_START: u64 = 9 * SECOND;

    fn node() -> Outlier {
        Outlier::new(SLOW_START)
    }

    /// When the pause of an ejected node ends.
    fn end_of_pause(node: &Outlier, now: u64) -> u64 {
        match node.admission(now) {
            Admission::Out { until } => until,
            other => panic!("{other:?} at {now}"),
        }
    }

    /// Probes the node at the end of its pause, successfully, and returns that time.
    fn come_back(node: &mut Outlier, now: u64) -> u64 {
        let end = end_of_pause(node, now);
        assert_eq!(node.admission(end), Admission::Probe);
        node.begin_probe(end);
        node.succeeded(end);
        end
    }

    #[test]
    fn a_node_that_never_failed_is_in_with_its_whole_share() {
        let mut node = node();
        node.succeeded(SECOND);
        assert_eq!(node.admission(0), Admission::In { share: 1.0 });
    }

    #[test]
    fn the_first_failure_ejects_for_250_ms_and_failed_probes_double_the_pause_up_to_30_s() {
        let (mut node, mut now, mut pauses) = (node(), 0, vec![]);
        node.failed(now, NONE);
        for _ in 0..9 {
            let end = end_of_pause(&node, now);
            pauses.push((end - now) / MS);
            assert_eq!(node.admission(end - 1), Admission::Out { until: end });
            assert_eq!(node.admission(end), Admission::Probe);
            now = end;
            node.begin_probe(now);
            node.failed(now, NONE);
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_makes_a_pause_up_to_a_fifth_shorter_or_longer() {
        for (jitter, expected) in [(0.0, 200 * MS), (0.5, 250 * MS), (1.0, 300 * MS)] {
            let mut node = node();
            node.failed(SECOND, jitter);
            assert_eq!(node.admission(SECOND), Admission::Out { until: SECOND + expected }, "jitter {jitter}");
        }
    }

    #[test]
    fn failures_of_reads_that_were_in_flight_together_are_one_failure() {
        let mut node = node();
        (0..50).for_each(|read| node.failed(read, NONE));
        assert_eq!(end_of_pause(&node, 50), 250 * MS);
    }

    #[test]
    fn an_answer_to_a_read_from_before_the_ejection_does_not_end_it() {
        let mut node = node();
        node.failed(0, NONE);
        node.succeeded(MS);
        assert_eq!(end_of_pause(&node, 2 * MS), 250 * MS);
    }

    #[test]
    fn one_read_is_the_probe_and_others_stay_out_until_it_has_ended() {
        let mut node = node();
        node.failed(0, NONE);
        node.begin_probe(SECOND);
        assert_eq!(end_of_pause(&node, SECOND), 6 * SECOND);
        node.succeeded(2 * SECOND);
        assert_eq!(node.admission(2 * SECOND), Admission::In { share: 0.1 });
    }

    #[test]
    fn a_probe_that_never_ends_is_given_up_after_5_s_and_counts_as_a_failure() {
        let mut node = node();
        node.failed(0, NONE);
        node.begin_probe(SECOND);
        assert_eq!(node.admission(6 * SECOND - 1), Admission::Out { until: 6 * SECOND });
        assert_eq!(node.admission(6 * SECOND), Admission::Probe);
        node.begin_probe(6 * SECOND);
        node.failed(7 * SECOND, NONE);
        assert_eq!(end_of_pause(&node, 7 * SECOND), 8 * SECOND, "the third pause");
    }

    #[test]
    fn the_share_grows_from_a_tenth_to_the_whole_during_the_slow_start() {
        let mut node = node();
        node.failed(0, NONE);
        let back = come_back(&mut node, 0);
        for (second, expected) in [(0, 0.1), (1, 0.2), (4, 0.5), (8, 0.9), (9, 1.0), (100, 1.0)] {
            node.succeeded(back + second * SECOND);
            let Admission::In { share } = node.admission(back + second * SECOND) else {
                panic!("after {second} s: out")
            };
            assert!((share - expected).abs() < 1e-9, "after {second} s: {share}");
        }
        let mut at_once = Outlier::new(0);
        at_once.failed(0, NONE);
        let back = come_back(&mut at_once, 0);
        assert_eq!(at_once.admission(back), Admission::In { share: 1.0 }, "no slow start");
    }

    #[test]
    fn a_node_that_fails_soon_after_it_came_back_stays_out_for_longer() {
        let mut node = node();
        node.failed(0, NONE);
        let mut back = come_back(&mut node, 0);
        for expected in [500, 1_000, 2_000, 4_000] {
            // The slow start and nearly all of the last pause.
            let now = back + SLOW_START + expected * MS / 2 - 1;
            node.failed(now, NONE);
            assert_eq!(end_of_pause(&node, now) - now, expected * MS);
            back = come_back(&mut node, now);
        }
        let now = back + SLOW_START + 4 * SECOND;
        node.failed(now, NONE);
        assert_eq!(end_of_pause(&node, now) - now, 250 * MS, "well for long enough: as if for the first time");
    }

    const IN: Admission = Admission::In { share: 1.0 };
    const SLOW: Admission = Admission::In { share: 0.1 };
    const PROBE: Admission = Admission::Probe;

    fn out(until: u64) -> Admission {
        Admission::Out { until }
    }

    #[test]
    fn while_there_is_a_node_there_is_one_to_use() {
        let table: Vec<(&str, Vec<Admission>, Vec<usize>)> = vec![
            ("no node", vec![], vec![]),
            ("all are in", vec![IN, SLOW], vec![0, 1]),
            ("those that are in", vec![out(9), IN, PROBE, SLOW], vec![1, 3]),
            ("none is in: those to probe", vec![out(1), PROBE, out(2), PROBE, out(0)], vec![1, 3]),
            ("all are out: the one that is back first", vec![out(9), out(7), out(8)], vec![1]),
            ("all are out for equally long", vec![out(7), out(7)], vec![0]),
            ("the only one is out", vec![out(u64::MAX)], vec![0]),
        ];
        for (name, admissions, expected) in table {
            let usable = Usable::of(admissions.iter().copied());
            let allowed = admissions.iter().enumerate().filter(|(place, admission)| usable.allows(*place, **admission));
            assert_eq!(allowed.map(|(place, _)| place).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn probes_that_are_due_take_turns() {
        let places = |admissions: &[Admission]| {
            (0..4).map(|turn| due_probe(admissions.iter().copied(), turn)).collect::<Vec<_>>()
        };
        assert_eq!(places(&[IN, out(3)]), [None; 4]);
        assert_eq!(places(&[IN, PROBE, out(3), PROBE]), [Some(1), Some(3), Some(1), Some(3)]);
    }

    #[test]
    fn only_a_node_that_is_in_has_more_than_the_first_share() {
        let shares = [IN, SLOW, PROBE, out(1)].map(|admission| format!("{:.1}", admission.share()));
        assert_eq!(shares, ["1.0", "0.1", "0.1", "0.1"]);
    }
}
