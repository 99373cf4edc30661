//! The nodes of a cluster, what is known of them, and how to get a connection to the right one.
//!
//! - `route`: which node a statement is to run on; the option `mode`
//! - `role`: which node suits which route (pure functions)
//! - `balance`: which of several nodes that suit (pure functions, one strategy a file)
//! - `fitness`: whether a node is fit to be read from: its role, its lag
//! - `placement`: which node answers a read of `pool.read`
//! - `read_policy`: how a pool chooses the nodes of its reads
//! - `read_health`: how a node answers reads: its latency, its failures
//! - `consistency`: consistency tokens
//! - `replay`: how far standbys have replayed the log, and the reads that wait for a position; `replay_watch`: asks for it
//! - `node`: one host and what was last seen of it
//! - `session_policy`: how large results may be, whether statements have names, what is reset
//! - `topology`: what is known of the cluster as a whole: the primary, timelines, positions
//! - `watch`: the monitor of one server, shared by the pools that use the server
//! - `cluster`: a list of hosts as one pool sees it
//! - `attempt`: one attempt to connect to one node, and races of attempts
//! - `observation`: what follows from an answer or a failure of a node: the only place that changes a node's state
//! - `discovery`: from a list of hosts to one suitable connection
//! - `failovers`: the timeline of each failover
//! - `fence`: why a write was refused as read-only: by the cluster, or by the user's own settings
//! - `monitor`: the background task that checks a node
//! - `status`: what is known of the nodes, for `nodes()` and for errors
//! - `statistics`: the counts of a pool and of its nodes, for `stats()`

mod attempt;
pub(crate) mod balance;
#[expect(clippy::module_inception, reason = "the cluster itself, beside what belongs to it")]
mod cluster;
pub(crate) mod consistency;
mod discovery;
pub(crate) mod failovers;
pub(crate) mod fence;
mod fitness;
mod monitor;
mod node;
mod observation;
pub(crate) mod placement;
mod read_health;
pub(crate) mod read_policy;
pub(crate) mod replay;
mod replay_watch;
pub(crate) mod role;
pub(crate) mod route;
pub(crate) mod session_policy;
pub(crate) mod statistics;
mod status;
mod topology;
mod watch;

pub(crate) use cluster::Cluster;
pub(crate) use watch::MonitorInterval;
