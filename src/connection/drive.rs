//! The task that drives a connection: it polls `tokio_postgres::Connection` itself, for two reasons. After each poll it copies
//! the parameters that the server reports (`default_transaction_read_only`, `in_hot_standby`; PostgreSQL 14 and later) into
//! flags: the server sends them just before the ReadyForQuery of the first response after a change, and on the single I/O
//! thread the flags are set before the statement's own task sees the end of its response. And notices arrive only here: 57P02,
//! the 57P01 of an immediate stop, and the warning that a commit was not replicated.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::AsyncMessage;

use crate::connection::endpoint::Endpoint;
use crate::connection::failure::{describe, violation};
use crate::connection::link::Link;
use crate::connection::notices::Notices;
use crate::connection::probe::Role;
use crate::connection::socket::{Bound, Socket};
use crate::protocol::ServerStream;
use crate::protocol::direct::DirectLane;

pub(super) type Driven = tokio_postgres::Connection<ServerStream<Socket>, Bound<ServerStream<Socket>>>;

pub(super) fn reported_role(connection: &Driven) -> Option<Role> {
    let read_only = connection.parameter("default_transaction_read_only")? == "on";
    let in_recovery = connection.parameter("in_hot_standby")? == "on";
    Some(Role { in_recovery, read_only })
}

/// How long a connection that was dropped may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn drive(
    mut connection: Box<Driven>,
    direct: Arc<DirectLane>,
    link: Arc<Link>,
    endpoint: Arc<Endpoint>,
    notices: Notices,
) {
    let driven = async {
        loop {
            let message = poll_fn(|cx| {
                let polled = connection.poll_message(cx);
                if !link.pooled.load(Ordering::Relaxed)
                    && let Some(role) = reported_role(&connection)
                {
                    link.set_role(role);
                }
                direct.end_complete();
                polled
            });
            match message.await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    link.note_notice(&notice);
                    if let Some(watcher) = link.notice_watcher.get() {
                        (watcher.0)(&notice);
                    }
                    notices.forward(&notice).await;
                }
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(listener) = link.listener.get() {
                        // Waits for a slow listener: further notifications stay in the server.
                        let _ = listener.send(notification).await;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    link.confused.store(violation(&error).is_some(), Ordering::Relaxed);
                    return Some(describe(&error));
                }
                None => return None,
            }
        }
    };
    let reason = tokio::select! {
        reason = driven => reason,
        () = link.cut.notified() => Some("cut by the client: the node was lost".to_owned()),
        // An orderly close waits for the responses that are due; a frozen node sends none.
        () = async { link.dropped.notified().await; sleep(CLOSE_TIMEOUT).await } => Some("closed".to_owned()),
    };
    // The reason is set before the channels of the responses close, so that their receivers find it.
    let broke = reason.is_some();
    link.mark_closed(reason);
    drop(connection);
    if broke {
        endpoint.request_check();
    }
}
