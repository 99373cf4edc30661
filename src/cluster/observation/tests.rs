use std::sync::Mutex;

use tokio_postgres::Config;

use super::*;
use crate::cluster::node::Lag;
use crate::cluster::read_policy::ReadPolicy;
use crate::cluster::route::Mode;
use crate::cluster::session_policy::SessionPolicy;
use crate::cluster::watch::MonitorInterval;
use crate::connection::authentication::{Access, Password};
use crate::connection::failure::ConnectStage;
use crate::connection::probe::Role;
use crate::connection::require_auth::Requirement;
use crate::connection::socket::Liveness;

pub(in crate::cluster) struct Seen {
    pub(in crate::cluster) cluster: Cluster,
    route: Route,
    events: Arc<Mutex<Vec<String>>>,
}

/// A cluster of three nodes of which none has answered. Each test has a user of its own, so that no two share a watch.
fn unseen(user: &str, mode: Mode) -> Seen {
    unseen_of(user, mode, &["a", "b", "c"])
}

fn unseen_of(user: &str, mode: Mode, hosts: &[&str]) -> Seen {
    let mut config = Config::new();
    config.user(user).port(5432);
    for host in hosts {
        config.host(*host);
    }
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let event_sink = move |event: Value| -> crate::connection::notices::Room {
        let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
        lock(&sink).push(format!("{} {} {} {}", text("event"), text("host"), text("state"), text("to")));
        None
    };
    let route = mode.into();
    let timeout = Duration::from_secs(1);
    let access = Access {
        config,
        addresses: vec![],
        password: Password::PerHost(vec![]),
        encryption: None,
        requirement: Requirement::default(),
        liveness: Liveness { keep_alive: None, unacknowledged: None },
        at_random: false,
        leases: None,
    };
    let (monitor_interval, policy) =
        (Some(MonitorInterval::default()), (SessionPolicy::default(), ReadPolicy::default()));
    let cluster = Cluster::new(access, route, timeout, monitor_interval, policy, Arc::new(event_sink));
    Seen { cluster, route, events }
}

/// A cluster of three nodes that is settled already.
fn cluster(user: &str, mode: Mode) -> Seen {
    cluster_of(user, mode, &["a", "b", "c"])
}

pub(in crate::cluster) fn cluster_of(user: &str, mode: Mode, hosts: &[&str]) -> Seen {
    let seen = unseen_of(user, mode, hosts);
    seen.cluster.settle();
    seen
}

impl Seen {
    pub(in crate::cluster) fn see(&self, node: usize, observation: Observation) {
        let node = self.cluster.nodes[node].clone();
        self.cluster.observe(&node, observation);
    }

    fn target(&self) -> Option<usize> {
        self.cluster.target(self.route).map(|node| node.endpoint.index)
    }

    fn state(&self, node: usize) -> &'static str {
        lock(&self.cluster.nodes[node].status).state.name()
    }

    fn reason(&self, node: usize) -> String {
        self.cluster.reasons(self.route)[node].reason.clone()
    }

    fn generation(&self, node: usize) -> u64 {
        self.cluster.nodes[node].endpoint.generation()
    }
}

pub(in crate::cluster) const OURS: u64 = 77;

pub(in crate::cluster) fn answer(role: (bool, bool), timeline: u32, lsn: u64, identity: Option<u64>) -> Observation {
    let role = Role { in_recovery: role.0, read_only: role.1 };
    let latency = Some(Duration::from_millis(1));
    Observation::Alive(Probe {
        asked: Instant::now(),
        role,
        timeline: Some(timeline),
        lsn: Some(lsn),
        latency,
        server_clock: None,
        identity,
    })
}

fn primary(timeline: u32) -> Observation {
    answer((false, false), timeline, 100, Some(OURS))
}

fn fenced(timeline: u32) -> Observation {
    answer((false, true), timeline, 100, Some(OURS))
}

fn standby() -> Observation {
    answer((true, false), 1, 100, Some(OURS))
}

pub(in crate::cluster) fn lost() -> Observation {
    Observation::Lost(HostFailure::Unreachable("refused".into()))
}

#[test]
fn a_switchover_seen_step_by_step() {
    let seen = cluster("switchover", Mode::ReadWrite);
    assert_eq!(seen.target(), None);
    seen.see(0, primary(1));
    seen.see(1, standby());
    assert_eq!(seen.target(), Some(0));
    let before = seen.generation(0);
    seen.see(0, fenced(1));
    assert_eq!(seen.target(), None, "fenced");
    assert_ne!(seen.generation(0), before, "its connections are retired");
    seen.see(1, primary(2));
    assert_eq!(seen.target(), Some(1));
    seen.see(0, primary(1));
    assert_eq!(seen.target(), Some(1), "the old primary, writable again, is deposed");
    assert_eq!(
        *lock(&seen.events),
        [
            "node a up -",
            "primary a - a:5432",
            "node b up -",
            "node a fenced -",
            "fenced a - -",
            "node b up -",
            "primary b - b:5432",
        ]
    );
}

#[test]
fn of_two_that_accept_writes_the_one_on_the_higher_timeline_is_the_primary() {
    let seen = cluster("timelines", Mode::ReadWrite);
    seen.see(0, primary(1));
    let before = seen.generation(0);
    seen.see(2, primary(2));
    assert_eq!(seen.target(), Some(2), "although the other answered first and is still up");
    assert_ne!(seen.generation(0), before, "the connections to the other are broken");
    seen.see(0, primary(1));
    assert_eq!((seen.target(), seen.state(0)), (Some(2), "fenced"));
    assert_eq!(seen.reason(0), "is a deposed primary: its timeline is 1, another node's 2");
    seen.see(2, lost());
    seen.see(0, primary(1));
    assert_eq!(seen.target(), None, "a deposed primary is not used even if no other node is up");
    for mode in [Mode::Primary, Mode::Any, Mode::ReadOnly] {
        assert!(
            seen.cluster.objection_to(&seen.cluster.nodes[0], mode.into()).is_some(),
            "it is used in no mode: {mode:?}"
        );
    }
    seen.see(0, primary(3));
    assert_eq!(seen.target(), Some(0), "it is used again when it is promoted itself");
}

#[test]
fn a_standby_that_follows_a_higher_timeline_deposes_a_primary_too() {
    let seen = cluster("follower", Mode::ReadWrite);
    seen.see(0, primary(1));
    seen.see(1, answer((true, false), 2, 100, Some(OURS)));
    assert_eq!(seen.target(), None, "there is a new primary, although it was not seen yet");
    seen.see(2, primary(2));
    assert_eq!(seen.target(), Some(2));
}

#[test]
fn of_two_on_the_same_timeline_the_one_in_use_stays() {
    let seen = cluster("rivals", Mode::ReadWrite);
    seen.see(1, primary(1));
    seen.see(0, primary(1));
    seen.see(1, primary(1));
    assert_eq!(seen.target(), Some(1));
    assert_eq!(seen.reason(0), "is a primary on the same timeline as b:5432, which is in use");
    assert_eq!(
        lock(&seen.events).iter().filter(|event| event.starts_with("primary")).count(),
        1,
        "the primary does not change back and forth"
    );
    seen.see(1, lost());
    seen.see(0, primary(1));
    assert_eq!(seen.target(), Some(0), "they may be two names of one server");
}

#[test]
fn nothing_is_decided_before_every_node_has_answered_or_failed() {
    let seen = unseen("settling", Mode::ReadWrite);
    seen.see(0, primary(1));
    assert_eq!((seen.target(), lock(&seen.events).len()), (None, 0));
    seen.see(1, lost());
    assert_eq!(seen.target(), None);
    seen.see(2, primary(2));
    assert_eq!(seen.target(), Some(2), "the deposed one that answered first is not used");
    assert_eq!(seen.state(0), "fenced");
}

#[test]
fn a_host_of_another_cluster_is_refused_by_name() {
    let at = |identity| answer((false, false), 9, 100, Some(identity));
    // The identity that each node answers with, in the order of the list, and whether the node is refused.
    let table = [
        ("the odd one", [OURS, OURS, 5], [false, false, true]),
        ("the odd one, first in the list", [5, OURS, OURS], [true, false, false]),
        ("of two clusters with as many nodes the first host's", [5, OURS, 6], [false, true, true]),
    ];
    for (name, identities, refused) in table {
        let seen = unseen(name, Mode::Any);
        for node in [2, 1, 0] {
            seen.see(node, at(identities[node]));
        }
        assert_eq!([0, 1, 2].map(|node| seen.reason(node).contains("belongs to another cluster")), refused, "{name}");
        for (node, refused) in refused.iter().enumerate() {
            assert_eq!(seen.state(node), if *refused { "down" } else { "up" }, "{name}");
        }
    }
    let seen = cluster("stranger", Mode::ReadWrite);
    seen.see(0, primary(1));
    let before = seen.generation(0);
    seen.see(0, at(5));
    assert_eq!((seen.target(), seen.state(0)), (None, "down"), "the name leads to another server now");
    assert_ne!(seen.generation(0), before);
    assert_eq!(seen.reason(0), "belongs to another cluster: its system identifier is 5, the others' is 77");
    seen.see(1, primary(2));
    assert_eq!(seen.target(), Some(1), "its timeline, 9, deposes nobody");
    seen.see(2, answer((false, false), 3, 100, None));
    assert_eq!(seen.target(), Some(2), "a node without an identity counts as one of the cluster");
}

#[test]
fn another_server_under_the_same_name() {
    let seen = cluster("endpoint", Mode::ReadWrite);
    seen.see(0, primary(1));
    let before = seen.generation(0);
    seen.see(0, primary(1));
    assert_eq!(seen.generation(0), before);
    seen.see(0, primary(2));
    assert_ne!(seen.generation(0), before, "connections to the former one are broken");
}

#[test]
fn a_lost_node_is_not_chosen_and_its_connections_are_retired() {
    let seen = cluster("lost", Mode::ReadWrite);
    seen.see(0, primary(1));
    seen.see(0, Observation::Lost(HostFailure::Refused(Box::default())));
    assert_eq!(seen.target(), Some(0), "refusing the monitor is not being dead");
    seen.see(0, Observation::Failed(HostFailure::Silent(Duration::from_secs(1), ConnectStage::Asking)));
    assert_eq!(seen.target(), None, "suspect");
    seen.see(0, primary(1));
    assert_eq!(seen.target(), Some(0));
    seen.see(0, lost());
    assert_eq!(seen.target(), None);
    let order = seen.cluster.in_order(Route::Primary);
    assert_eq!(order.last().map(|node| node.endpoint.index), Some(0), "dead nodes are tried last");
}

#[test]
fn standbys_are_preferred_and_the_primary_is_second_best() {
    let seen = cluster("prefer", Mode::PreferStandby);
    seen.see(0, primary(1));
    assert_eq!(seen.target(), None);
    assert!(!seen.cluster.lacks_node(seen.route), "the primary is a fallback");
    seen.see(2, standby());
    assert_eq!(seen.target(), Some(2));
}

#[test]
fn a_standby_is_behind_by_what_was_seen_of_the_primary_before() {
    let seen = cluster("lag", Mode::ReadWrite);
    let at = |in_recovery, lsn| answer((in_recovery, false), 1, lsn, Some(OURS));
    let lag = |node: usize| lock(&seen.cluster.nodes[node].status).lag;
    seen.see(1, at(true, 50));
    assert_eq!(lag(1), None, "no primary was seen yet");
    seen.see(0, at(false, 100));
    seen.see(1, at(true, 100));
    assert_eq!(lag(1), Some(Lag::default()));
    seen.see(1, at(true, 120));
    assert_eq!(lag(1), Some(Lag::default()), "seen later than the primary");
    seen.see(0, at(false, 300));
    std::thread::sleep(Duration::from_millis(20));
    seen.see(1, at(true, 120));
    let behind = lag(1).expect("a lag");
    assert_eq!(behind.bytes, 180);
    assert!(behind.time >= Duration::from_millis(20), "{behind:?}");
    seen.see(0, at(false, 300));
    seen.see(1, at(true, 300));
    assert_eq!(lag(1), Some(Lag::default()), "no standby is behind an idle primary");
}
