//! From a list of hosts to one suitable connection.
//!
//! Every attempt at a node has one deadline over TCP, login and role check, so a node that accepts and stays silent
//! costs its own attempt and nothing else. Attempts at several nodes race with staggered starts; the first suitable
//! one wins, and what every other host said is kept for the error.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;

use crate::cluster::node::Node;
use crate::cluster::role::{Fit, Mode, fit, misfit};
use crate::cluster::{Cluster, Observation};
use crate::connection::authentication::log_in;
use crate::connection::connection::Connection;
use crate::connection::failure::{ConnectFailure, HostFailure, Progress};
use crate::connection::probe::Probe;
use crate::engine::lock;

/// The next attempt starts this long after the one before it, or at once when that has failed.
const STAGGER: Duration = Duration::from_millis(100);
/// What appears during a search is likely to be what the search is just finding.
const HEAD_START: Duration = Duration::from_millis(20);
/// How long a second-best node waits for a better one to answer.
const FALLBACK_PATIENCE: Duration = Duration::from_millis(200);

/// One connection to `node`, within connectTimeoutMs: of all the addresses its name has, the first that `suits`, else the
/// first that answers. (A name may stand for all servers of a cluster.)
pub(crate) async fn open(
    cluster: &Cluster,
    config: &Config,
    node: &Arc<Node>,
    suits: impl Fn(&Probe) -> bool,
) -> Result<(Connection, Probe), HostFailure> {
    let stage = Progress::default();
    let login = async {
        let addresses = node.endpoint.addresses().await.map_err(|error| HostFailure::Unreachable(error.to_string()))?;
        let attempts = addresses
            .iter()
            .map(|address| log_in(&cluster.connector, config, &node.endpoint, address, &stage))
            .collect();
        match race(attempts, |(_, probe)| suits(probe)).await {
            Ok(found) => Ok(found),
            Err(mut failures) => Err(failures.pop().unwrap_or_else(|| HostFailure::Unreachable("no address".into()))),
        }
    };
    let silent = || Err(HostFailure::Silent(cluster.connect_timeout, stage.get()));
    timeout(cluster.connect_timeout, login).await.unwrap_or_else(|_| silent())
}

/// One connection to `node` if it suits `mode`.
async fn open_suitable(cluster: &Cluster, node: &Arc<Node>, mode: Mode) -> Result<(Connection, Fit), HostFailure> {
    let result = match open(cluster, &cluster.config, node, |probe| fit(mode, probe.role) == Fit::Good).await {
        Ok((conn, probe)) => {
            // Of several servers with one name, the node is the one that the monitor looks at.
            if node.is_watched_at(conn.address()) {
                cluster.observe(node, Observation::Alive(probe));
            }
            cluster.settled().await;
            match (cluster.objection(node, &probe, mode), fit(mode, probe.role)) {
                (Some(objection), _) => Err(HostFailure::Unsuitable(objection)),
                (None, Fit::No) => Err(HostFailure::Unsuitable(misfit(mode, probe.role).into())),
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
        // Seen already.
        Err(HostFailure::Unsuitable(_)) => {}
        Err(failure) => cluster.observe(node, Observation::Failed(failure.clone())),
    }
    result
}

/// A connection to a node that suits `mode`. However many callers need one, the hosts are searched once at a time.
pub(crate) async fn connect(cluster: &Cluster, mode: Mode) -> Result<Connection, ConnectFailure> {
    cluster.begin();
    let mut tried = None;
    loop {
        // The usual case: the node is known.
        if let Some(node) = cluster.target(mode).filter(|node| tried != Some(node.endpoint.index)) {
            tokio::select! {
                opened = open_suitable(cluster, &node, mode) => match opened {
                    Ok((conn, _)) => return Ok(conn),
                    Err(failure) if failure.is_final() => return Err(give_up(failure)),
                    Err(_) => {}
                },
                // It would not answer any more.
                () = node.endpoint.breaks() => {}
            }
            tried = Some(node.endpoint.index);
            continue;
        }
        let Ok(_searching) = cluster.discovery.try_lock() else {
            // Somebody searches already: what that finds is ours too.
            drop(cluster.discovery.lock().await);
            if cluster.target(mode).is_none_or(|node| tried == Some(node.endpoint.index)) {
                return Err(ConnectFailure::NoNode);
            }
            continue;
        };
        return tokio::select! {
            found = search(cluster, mode) => found,
            conn = whoever_appears(cluster, mode) => Ok(conn),
        };
    }
}

/// A connection to a node that turns out to suit while the hosts are searched. The search may be waiting for a silent host, and
/// has heard the others say that they do not suit when they did not yet.
async fn whoever_appears(cluster: &Cluster, mode: Mode) -> Connection {
    loop {
        let appeared = cluster.appeared.notified();
        if let Some(node) = cluster.target(mode) {
            sleep(HEAD_START).await;
            if let Ok((conn, _)) = open_suitable(cluster, &node, mode).await {
                return conn;
            }
        }
        appeared.await;
    }
}

/// What follows from a failure that is final.
fn give_up(failure: HostFailure) -> ConnectFailure {
    match failure {
        HostFailure::Refused(error) => ConnectFailure::Refused(error),
        HostFailure::Password(failed) => ConnectFailure::Password(failed),
        HostFailure::Untrusted(distrust) => ConnectFailure::Untrusted(distrust),
        _ => ConnectFailure::NoNode,
    }
}

/// The failure that ends the matter when no host could be used.
fn last_word(failures: Vec<HostFailure>, served: bool) -> ConnectFailure {
    let is_untrusted = |failure: &HostFailure| matches!(failure, HostFailure::Untrusted(_));
    // A certificate does not get better by waiting. But the others may: one that is down comes up, and in a pool that
    // had a node a standby is promoted.
    let others_are_hopeless = failures.iter().all(|failure| match failure {
        HostFailure::Untrusted(_) => true,
        HostFailure::Unsuitable(_) => !served,
        _ => false,
    });
    let ends = |failure: &HostFailure| failure.is_final() || (others_are_hopeless && is_untrusted(failure));
    failures.into_iter().find(ends).map_or(ConnectFailure::NoNode, give_up)
}

/// Races all hosts.
async fn search(cluster: &Cluster, mode: Mode) -> Result<Connection, ConnectFailure> {
    let nodes = cluster.in_order(mode).into_iter();
    let attempts = nodes.map(|node| async move { open_suitable(cluster, &node, mode).await }).collect();
    match race(attempts, |(_, fit)| *fit == Fit::Good).await {
        Ok((conn, _)) => Ok(conn),
        Err(failures) => Err(last_word(failures, cluster.served.load(Ordering::Relaxed))),
    }
}

/// Runs attempts with staggered starts until one gives what `is_best` likes. The first other success is kept and used
/// when nothing better comes in time. A failure that is final ends the race. Attempts that lose are dropped, which
/// closes their sockets.
async fn race<T, F>(attempts: Vec<F>, is_best: impl Fn(&T) -> bool) -> Result<T, Vec<HostFailure>>
where
    F: Future<Output = Result<T, HostFailure>>,
{
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    let mut fallback = None;
    running.extend(waiting.next());
    loop {
        tokio::select! {
            finished = running.next(), if !running.is_empty() => match finished {
                Some(Ok(found)) if is_best(&found) => return Ok(found),
                Some(Ok(found)) => {
                    fallback.get_or_insert(found);
                    running.extend(waiting.by_ref());
                }
                Some(Err(failure)) => {
                    let ends = failure.is_final();
                    failures.push(failure);
                    if ends {
                        break;
                    }
                    running.extend(waiting.next());
                }
                None => {}
            },
            () = sleep(if fallback.is_some() { FALLBACK_PATIENCE } else { STAGGER }), if !running.is_empty() => {
                if fallback.is_some() {
                    break;
                }
                running.extend(waiting.next());
            }
            else => break,
        }
    }
    fallback.ok_or(failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Distrust;

    type Attempt = std::pin::Pin<Box<dyn Future<Output = Result<&'static str, HostFailure>>>>;

    fn answers(after_ms: u64, result: Result<&'static str, &'static str>) -> Attempt {
        Box::pin(async move {
            sleep(Duration::from_millis(after_ms)).await;
            result.map_err(|reason| HostFailure::Unreachable(reason.into()))
        })
    }

    fn silent() -> Attempt {
        Box::pin(std::future::pending())
    }

    fn run(attempts: Vec<Attempt>) -> Result<&'static str, usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(race(attempts, |name| !name.starts_with("second"))).map_err(|failures| failures.len())
    }

    #[test]
    fn races() {
        let table: Vec<(&str, Vec<Attempt>, Result<&str, usize>)> = vec![
            ("one host", vec![answers(0, Ok("a"))], Ok("a")),
            ("no host", vec![], Err(0)),
            ("a silent first host is overtaken", vec![silent(), answers(0, Ok("b"))], Ok("b")),
            ("refusals are stepped over", vec![answers(0, Err("refused")), answers(0, Ok("b"))], Ok("b")),
            ("all refuse", vec![answers(0, Err("x")), answers(1, Err("y"))], Err(2)),
            ("a better one is worth a little wait", vec![answers(0, Ok("second")), answers(50, Ok("b"))], Ok("b")),
            ("but not an endless one", vec![answers(0, Ok("second")), silent()], Ok("second")),
            ("second best when the rest refuses", vec![answers(0, Ok("second")), answers(1, Err("x"))], Ok("second")),
        ];
        for (name, attempts, expected) in table {
            assert_eq!(run(attempts), expected, "{name}");
        }
    }

    #[test]
    fn when_a_bad_certificate_ends_the_matter() {
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
                let word = last_word(failures.clone(), served);
                assert_eq!(matches!(word, ConnectFailure::Untrusted(_)), ends, "{name}, served before: {served}");
            }
        }
    }
}
