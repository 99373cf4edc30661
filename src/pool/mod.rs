//! The pool of one cluster's connections.
//!
//! - `task`: the trait of the work that needs a connection
//! - `session`: a pooled connection with its prepared statements and its age limit
//! - `statement_text`, `sql_facts`, `sql_tokens`, `sql_words`: the texts of statements, and what their words say
//! - `prepared`: the statements that each connection has prepared, row shapes
//! - `plans`: which of these plans may be out of date
//! - `schema_changes`: when a schema last changed
//! - `names`: what the names in a statement mean on a connection
//! - `reset`: undoes what one user of a connection changed, before the next user has the connection
//! - `setters`: whether the database has code that changes settings unseen
//! - `node_pool`: the connections of one route to one node, owned by deadpool; its `pre_recycle` hook checks the fence
//! - `active_connection`: a connection with work on it
//! - `wait_queue`: the tasks that wait for a connection
//! - `route_pool`: the part of a pool that serves one route
//! - `lease`: when the leases of the sessions are renewed
//! - `router`: which task runs on which connection, and which task waits
//! - `worker`: a place on a connection, and how a task runs there
//! - `upkeep`: closes idle connections, and keeps as many open as the pool wants
//! - `growth`: how the pool opens more connections
//! - `expiry`: fails the tasks that have waited for too long
//! - `shutdown`: how the pool closes

mod active_connection;
mod expiry;
mod growth;
mod lease;
mod names;
mod node_pool;
pub(crate) mod plans;
pub(crate) mod prepared;
mod reset;
mod route_pool;
pub(crate) mod router;
pub(crate) mod schema_changes;
pub(crate) mod session;
mod setters;
mod shutdown;
pub(crate) mod sql_facts;
mod sql_tokens;
pub(crate) mod sql_words;
pub(crate) mod statement_text;
pub(crate) mod task;
mod upkeep;
mod wait_queue;
mod worker;
