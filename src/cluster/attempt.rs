//! One connection to one node, and races of attempts.
//!
//! Every attempt has one deadline for TCP, login and probe together, so a node that accepts and stays silent delays no
//! other attempt. Attempts race with staggered starts; the first suitable one wins, and the failures of the others are
//! kept for the error.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;

use crate::cluster::cluster::Cluster;
use crate::cluster::node::Node;
use crate::connection::authentication::log_in;
use crate::connection::connection::Connection;
use crate::connection::failure::{ConnectProgress, HostFailure};
use crate::connection::probe::Probe;

/// The next attempt starts this long after the one before it, or at once when that has failed.
const STAGGER: Duration = Duration::from_millis(100);
/// How long a node that is only a fallback waits for a better one to answer.
const FALLBACK_WAIT: Duration = Duration::from_millis(200);

/// One connection to `node`, within connectTimeoutMs: to the first address of its name that `suits`, else to the first
/// that answers. (A name may have the addresses of all servers of a cluster.)
pub(crate) async fn open(
    cluster: &Cluster,
    config: &Config,
    node: &Arc<Node>,
    suits: impl Fn(&Probe) -> bool,
) -> Result<(Connection, Probe), HostFailure> {
    let stage = ConnectProgress::default();
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

/// Runs attempts with staggered starts until the result of one `is_best`. The first other result is kept, and returned
/// when no better one comes in time. A final failure ends the race. Attempts that lose are dropped, which closes their
/// sockets.
pub(super) async fn race<T, F>(attempts: Vec<F>, is_best: impl Fn(&T) -> bool) -> Result<T, Vec<HostFailure>>
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
            () = sleep(if fallback.is_some() { FALLBACK_WAIT } else { STAGGER }), if !running.is_empty() => {
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
}
