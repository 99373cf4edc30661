//! The simulated world: nodes that queue reads, clients that wait for their answers, and the pool's choice between them.
//!
//! Time is a number of microseconds that jumps from one event to the next; nothing here looks at a clock, and the
//! random numbers have a seed, so that each run is the same.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::cluster::balance::tests::SplitMix64;
use crate::cluster::balance::{
    Admission, Balance, Draws, ErrorRate, Outlier, PeakEwma, ReadCandidate, Usable, due_probe,
};

pub(super) const SECOND: u64 = 1_000_000;
/// Reads that a node runs at a time; others wait in its queue.
const CAPACITY: usize = 4;
/// The median of a node's service time, and its spread (the sigma of a log-normal distribution).
const SERVICE: f64 = 7_000.0;
const SPREAD: f64 = 0.5;
/// How long a node that is down takes to refuse a connection.
const REFUSAL: u64 = 300;
/// How often a client sends a read before it gives up.
const ATTEMPTS: u8 = 3;
/// The mean of a client's pause between two reads.
const PAUSE: f64 = SECOND as f64;

/// What befalls a node from one second to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    Healthy,
    /// Ten times slower.
    Slow(u64, u64),
    /// Every read runs as usual and fails.
    Failing(u64, u64),
    /// Down for two seconds, up for two seconds, and so on.
    Flapping(u64, u64),
    /// Refuses everything.
    Down(u64, u64),
}

impl Course {
    fn slowness(self, now: u64) -> f64 {
        if matches!(self, Self::Slow(from, to) if is_between(now, from, to)) { 10.0 } else { 1.0 }
    }

    fn fails(self, now: u64) -> bool {
        matches!(self, Self::Failing(from, to) if is_between(now, from, to)) || self.refuses(now)
    }

    fn refuses(self, now: u64) -> bool {
        match self {
            Self::Flapping(from, to) => is_between(now, from, to) && (now / SECOND - from) % 4 < 2,
            Self::Down(from, to) => is_between(now, from, to),
            Self::Healthy | Self::Slow(..) | Self::Failing(..) => false,
        }
    }
}

fn is_between(now: u64, from: u64, to: u64) -> bool {
    (from * SECOND..to * SECOND).contains(&now)
}

/// What is simulated.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) balance: Balance,
    pub(super) courses: Vec<Course>,
    pub(super) clients: usize,
    pub(super) seconds: u64,
    pub(super) slow_start_us: u64,
    /// Whether nodes that fail are ejected.
    pub(super) ejects: bool,
    pub(super) seed: u64,
}

/// What a node did in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) failed: u64,
}

/// What has happened.
#[derive(Debug)]
pub(super) struct Record {
    /// By second, then by node.
    pub(super) seconds: Vec<Vec<Tally>>,
    /// Of each node that came back after an ejection, the last time: the reads it was sent, by second since then.
    pub(super) returns: Vec<Option<Vec<u64>>>,
    /// Nodes that were in, at the worst choice.
    pub(super) fewest_in: usize,
    /// Choices that found no node.
    pub(super) unserved: u64,
    /// From a client's question to its answer, with all attempts, in microseconds, sorted.
    pub(super) latencies: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    asked: u64,
    sent: u64,
    attempt: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client sends a read, for the first time or again.
    Send(Read),
    /// A node has finished a read.
    Done { node: usize, read: Read },
    /// A node has refused a read.
    Refused { node: usize, read: Read },
}

struct SimulatedNode {
    course: Course,
    service: f64,
    running: usize,
    queue: VecDeque<Read>,
    // What the pool knows of it.
    in_flight: usize,
    outlier: Outlier,
    latency: PeakEwma,
    errors: ErrorRate,
    returned: u64,
}

pub(super) struct World {
    scene: Scene,
    random: SplitMix64,
    now: u64,
    turn: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    nodes: Vec<SimulatedNode>,
    candidates: Vec<ReadCandidate>,
    admissions: Vec<Admission>,
    record: Record,
}

impl World {
    /// Runs the scene from its beginning to its end.
    pub(super) fn run(scene: &Scene) -> Record {
        let mut world = Self::new(scene.clone());
        for _ in 0..scene.clients {
            let asked = (world.random.unit() * PAUSE) as u64;
            world.schedule(asked, Event::Send(Read { asked, sent: asked, attempt: 1 }));
        }
        while let Some(Reverse((time, _, event))) = world.events.pop() {
            if time >= scene.seconds * SECOND {
                break;
            }
            world.now = time;
            world.happen(event);
        }
        world.record.latencies.sort_unstable();
        world.record
    }

    fn new(scene: Scene) -> Self {
        let mut random = SplitMix64(scene.seed);
        let node = |course: &Course| SimulatedNode {
            course: *course,
            service: SERVICE * (0.9 + 0.2 * random.unit()),
            running: 0,
            queue: VecDeque::new(),
            in_flight: 0,
            outlier: Outlier::new(scene.slow_start_us),
            latency: PeakEwma::default(),
            errors: ErrorRate::default(),
            returned: 0,
        };
        let nodes: Vec<_> = scene.courses.iter().map(node).collect();
        let record = Record {
            seconds: vec![vec![Tally::default(); nodes.len()]; scene.seconds as usize],
            returns: vec![None; nodes.len()],
            fewest_in: nodes.len(),
            unserved: 0,
            latencies: Vec::new(),
        };
        let (events, candidates, admissions) = (BinaryHeap::new(), Vec::new(), Vec::new());
        Self { scene, random, now: 0, turn: 0, events, scheduled: 0, nodes, candidates, admissions, record }
    }

    fn schedule(&mut self, time: u64, event: Event) {
        // Events of the same time happen in the order in which they were scheduled.
        self.scheduled += 1;
        self.events.push(Reverse((time, self.scheduled, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send(read) => match self.choose() {
                Some(node) => self.send(node, Read { sent: self.now, ..read }),
                None => {
                    self.record.unserved += 1;
                    self.pause();
                }
            },
            Event::Done { node, read } => {
                self.nodes[node].running -= 1;
                if let Some(next) = self.nodes[node].queue.pop_front() {
                    self.serve(node, next);
                }
                if self.nodes[node].course.fails(self.now) {
                    self.failed(node, read);
                } else {
                    self.answered(node, read);
                }
            }
            Event::Refused { node, read } => self.failed(node, read),
        }
    }

    /// The pool's part: chooses the node of a read.
    fn choose(&mut self) -> Option<usize> {
        self.turn += 1;
        let now = self.now;
        let whole = Admission::In { share: 1.0 };
        let admission = |node: &SimulatedNode| if self.scene.ejects { node.outlier.admission(now) } else { whole };
        self.admissions.clear();
        self.admissions.extend(self.nodes.iter().map(admission));
        let are_in = self.admissions.iter().filter(|admission| matches!(admission, Admission::In { .. })).count();
        self.record.fewest_in = self.record.fewest_in.min(are_in);
        if let Some(node) = due_probe(self.admissions.iter().copied(), self.turn) {
            self.nodes[node].outlier.begin_probe(now);
            return Some(node);
        }
        let usable = Usable::of(self.admissions.iter().copied());
        self.candidates.clear();
        for (place, (node, &admission)) in self.nodes.iter().zip(&self.admissions).enumerate() {
            if usable.allows(place, admission) {
                self.candidates.push(ReadCandidate {
                    node: place,
                    in_flight: node.in_flight,
                    weight: 1.0,
                    share: admission.share(),
                    latency_us: node.latency.value(now),
                    lag_ms: 0.0,
                    error_rate: node.errors.value(now),
                });
            }
        }
        let draws = Draws { turn: self.turn, a: self.random.unit(), b: self.random.unit() };
        self.scene.balance.choose(&self.candidates, draws)
    }

    fn send(&mut self, place: usize, read: Read) {
        let now = self.now;
        self.record.seconds[(now / SECOND) as usize][place].sent += 1;
        let node = &mut self.nodes[place];
        node.in_flight += 1;
        if let Some(sent) = &mut self.record.returns[place] {
            let second = ((now - node.returned) / SECOND) as usize;
            sent.resize(sent.len().max(second + 1), 0);
            sent[second] += 1;
        }
        if node.course.refuses(now) {
            self.schedule(now + REFUSAL, Event::Refused { node: place, read });
        } else if node.running < CAPACITY {
            self.serve(place, read);
        } else {
            node.queue.push_back(read);
        }
    }

    fn serve(&mut self, place: usize, read: Read) {
        // Box and Muller: a normally distributed number of two uniform ones.
        let (one, two) = (1.0 - self.random.unit(), self.random.unit());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        let node = &mut self.nodes[place];
        node.running += 1;
        let service = node.service * node.course.slowness(self.now) * (SPREAD * normal).exp();
        self.schedule(self.now + service as u64, Event::Done { node: place, read });
    }

    fn answered(&mut self, place: usize, read: Read) {
        let now = self.now;
        let node = &mut self.nodes[place];
        node.in_flight -= 1;
        node.latency.observe(now, (now - read.sent) as f64);
        node.errors.succeeded(now);
        if self.scene.ejects {
            let was_out = !matches!(node.outlier.admission(now), Admission::In { .. });
            node.outlier.succeeded(now);
            if was_out && matches!(node.outlier.admission(now), Admission::In { .. }) {
                node.returned = now;
                self.record.returns[place] = Some(Vec::new());
            }
        }
        self.record.latencies.push(now - read.asked);
        self.pause();
    }

    fn failed(&mut self, place: usize, read: Read) {
        let now = self.now;
        self.record.seconds[(now / SECOND) as usize][place].failed += 1;
        let node = &mut self.nodes[place];
        node.in_flight -= 1;
        node.errors.failed(now);
        if self.scene.ejects {
            let jitter = self.random.unit();
            node.outlier.failed(now, jitter);
        }
        if read.attempt < ATTEMPTS {
            self.schedule(now, Event::Send(Read { attempt: read.attempt + 1, ..read }));
        } else {
            self.pause();
        }
    }

    /// The client's read is over; it asks again after a pause.
    fn pause(&mut self) {
        let asked = self.now + 1 + (self.random.unit() * 2.0 * PAUSE) as u64;
        self.schedule(asked, Event::Send(Read { asked, sent: asked, attempt: 1 }));
    }
}
