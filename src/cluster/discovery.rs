//! From a list of hosts to one suitable connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::attempt::{open, race};
use crate::cluster::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::observation::Observation;
use crate::cluster::role::{Fit, fit, misfit};
use crate::cluster::route::Route;
use crate::connection::connection::Connection;
use crate::connection::failure::{ConnectFailure, HostFailure};
use crate::engine::lock;

const TOO_MANY_CONNECTIONS: &str = "53300";

/// A node that appears during a search has probably been found by the search itself, which gets this much time to
/// finish.
const HEAD_START: Duration = Duration::from_millis(20);

impl Cluster {
    /// A connection to a node that suits `route`.
    pub(crate) async fn connect(&self, route: Route) -> Result<Connection, ConnectFailure> {
        connect(self, route).await
    }
}

/// One connection to `node` if it suits `route`.
async fn open_suitable(cluster: &Cluster, node: &Arc<Node>, route: Route) -> Result<(Connection, Fit), HostFailure> {
    let config = if route.node().is_some() { &cluster.read_config } else { &cluster.config };
    let result = match open(cluster, config, node, |probe| fit(route, probe.role) == Fit::Good).await {
        Ok((conn, mut probe)) => {
            let known = lock(&node.status).role;
            let mut may_observe = true;
            if route.node().is_some() {
                // It is read-only because this client asked for that, and so it cannot say whether a primary is fenced.
                probe.role.read_only = known.is_some_and(|role| role.read_only);
                may_observe = probe.role.in_recovery || known.is_some_and(|role| !role.in_recovery);
            }
            // If several servers have the node's name, only the one that the monitor checks counts as the node.
            if !may_observe {
                node.endpoint.request_check();
            } else if node.is_watched_at(conn.address()) {
                cluster.observe(node, Observation::Alive(probe));
            }
            cluster.settled().await;
            match (cluster.objection(node, &probe, route), fit(route, probe.role)) {
                (Some(objection), _) => Err(HostFailure::Unsuitable(objection)),
                (None, Fit::No) => Err(HostFailure::Unsuitable(misfit(route, probe.role).into())),
                (None, fit) => Ok((conn, fit)),
            }
        }
        Err(failure) => Err(failure),
    };
    match &result {
        Ok((conn, _)) => {
            conn.join();
            cluster.served.store(true, Ordering::Relaxed);
            lock(&node.status).refusal = None;
        }
        // The probe was observed above.
        Err(HostFailure::Unsuitable(_)) => {}
        Err(HostFailure::Refused(error)) if error.code == TOO_MANY_CONNECTIONS => {
            cluster.was_full.store(true, Ordering::Relaxed);
            cluster.observe(node, Observation::Failed(HostFailure::Refused(error.clone())));
        }
        Err(failure) => cluster.observe(node, Observation::Failed(failure.clone())),
    }
    result
}

/// A connection to a node that suits `route`. Only one search runs at a time, however many callers need a connection.
pub(crate) async fn connect(cluster: &Cluster, route: Route) -> Result<Connection, ConnectFailure> {
    cluster.note_search_began();
    if let Some(node) = route.node() {
        return connect_to(cluster, &cluster.nodes[node], route).await;
    }
    let mut tried = None;
    loop {
        // The usual case: the node is known.
        if let Some(node) = cluster.target(route).filter(|node| tried != Some(node.endpoint.index)) {
            tokio::select! {
                opened = open_suitable(cluster, &node, route) => match opened {
                    Ok((conn, _)) => return Ok(conn),
                    Err(failure) if failure.is_final() => return Err(connect_failure(failure)),
                    Err(_) => {}
                },
                // The node is down: the attempt would never end.
                () = node.endpoint.breaks() => {}
            }
            tried = Some(node.endpoint.index);
            continue;
        }
        let Ok(_searching) = cluster.discovery.try_lock() else {
            // Another task searches already: this one uses the node that it finds.
            drop(cluster.discovery.lock().await);
            if cluster.target(route).is_none_or(|node| tried == Some(node.endpoint.index)) {
                return Err(ConnectFailure::NoNode);
            }
            continue;
        };
        return tokio::select! {
            found = search(cluster, route) => found,
            conn = connect_to_appearing_node(cluster, route) => Ok(conn),
        };
    }
}

/// A connection to this node: the route allows no other.
async fn connect_to(cluster: &Cluster, node: &Arc<Node>, route: Route) -> Result<Connection, ConnectFailure> {
    let opened = tokio::select! {
        opened = open_suitable(cluster, node, route) => opened,
        () = node.endpoint.breaks() => return Err(ConnectFailure::NoNode),
    };
    match opened {
        Ok((conn, _)) => Ok(conn),
        Err(failure) if failure.is_final() => Err(connect_failure(failure)),
        Err(_) => Err(ConnectFailure::NoNode),
    }
}

/// A connection to a node that becomes suitable while the hosts are searched. The search may be waiting for a silent
/// host and have dropped this node before, because it did not suit then.
async fn connect_to_appearing_node(cluster: &Cluster, route: Route) -> Connection {
    loop {
        let appeared = cluster.appeared.notified();
        if let Some(node) = cluster.target(route) {
            sleep(HEAD_START).await;
            if let Ok((conn, _)) = open_suitable(cluster, &node, route).await {
                return conn;
            }
        }
        appeared.await;
    }
}

/// The error for a final failure.
fn connect_failure(failure: HostFailure) -> ConnectFailure {
    match failure {
        HostFailure::Refused(error) => ConnectFailure::Refused(error),
        HostFailure::Password(failed) => ConnectFailure::Password(failed),
        HostFailure::Untrusted(distrust) => ConnectFailure::Untrusted(distrust),
        HostFailure::NoLease => ConnectFailure::NoLease,
        _ => ConnectFailure::NoNode,
    }
}

/// The error when no host could be used.
fn final_failure(failures: Vec<HostFailure>, served: bool) -> ConnectFailure {
    let is_untrusted = |failure: &HostFailure| matches!(failure, HostFailure::Untrusted(_));
    // An untrusted server stays untrusted. But another host may become suitable: one that is down may come up, and a
    // standby may be promoted if the pool has had a primary.
    let others_are_hopeless = failures.iter().all(|failure| match failure {
        HostFailure::Untrusted(_) => true,
        HostFailure::Unsuitable(_) => !served,
        _ => false,
    });
    let ends = |failure: &HostFailure| failure.is_final() || (others_are_hopeless && is_untrusted(failure));
    failures.into_iter().find(ends).map_or(ConnectFailure::NoNode, connect_failure)
}

/// Races attempts at all hosts.
async fn search(cluster: &Cluster, route: Route) -> Result<Connection, ConnectFailure> {
    let nodes = cluster.in_order(route).into_iter();
    let attempts = nodes.map(|node| async move { open_suitable(cluster, &node, route).await }).collect();
    match race(attempts, |(_, fit)| *fit == Fit::Good).await {
        Ok((conn, _)) => Ok(conn),
        Err(failures) => Err(final_failure(failures, cluster.served.load(Ordering::Relaxed))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Distrust;

    #[test]
    fn when_a_bad_certificate_is_the_error() {
        let bad = || HostFailure::Untrusted(Box::new(Distrust::tls("db1".into(), 5432, None, "bad".into())));
        let down = || HostFailure::Unreachable("refused".into());
        let standby = || HostFailure::Unsuitable("is a standby".into());
        let table = [
            ("the only host", vec![bad()], [true, true]),
            ("all of them", vec![bad(), bad()], [true, true]),
            ("another is down, and may come up", vec![bad(), down()], [false, false]),
            (
                "another is a standby: it may be promoted where there was a primary",
                vec![standby(), bad()],
                [true, false],
            ),
            ("no certificate in question", vec![standby(), down()], [false, false]),
        ];
        for (name, failures, expected) in table {
            for (served, ends) in [false, true].into_iter().zip(expected) {
                let failure = final_failure(failures.clone(), served);
                assert_eq!(matches!(failure, ConnectFailure::Untrusted(_)), ends, "{name}, served before: {served}");
            }
        }
    }
}
