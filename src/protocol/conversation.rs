//! What both directions of a stream share.

use std::sync::{Arc, OnceLock};

use crate::engine::Traffic;
use crate::protocol::direct::{DirectAnswers, DirectLane};
use crate::protocol::pending_responses::PendingResponses;
use crate::protocol::response_observer::ResponseObserver;
use crate::protocol::result_formats::ResultFormats;
use crate::protocol::session_state::SessionState;
use crate::protocol::type_depth::TypeDepth;
use crate::protocol::unnamed_statements::UnnamedStatements;

/// What a stream shares with the users of its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamObservers {
    pub(crate) responses: Arc<ResponseObserver>,
    pub(crate) result_formats: Arc<ResultFormats>,
    pub(crate) session_state: Arc<SessionState>,
    pub(crate) direct: Arc<DirectLane>,
    /// Bytes of a row at most.
    pub(crate) row_limit: Option<usize>,
    /// Where its bytes are counted, once it is known that they are.
    pub(crate) traffic: Arc<OnceLock<Arc<Traffic>>>,
}

/// What both directions of a stream share.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) pending: PendingResponses,
    pub(super) type_depth: TypeDepth,
    pub(super) unnamed: UnnamedStatements,
    pub(super) responses: Arc<ResponseObserver>,
    pub(super) result_formats: Arc<ResultFormats>,
    pub(super) session_state: Arc<SessionState>,
    /// The answers to direct statements.
    pub(super) answers: DirectAnswers,
    /// Bytes of a row at most.
    pub(super) row_limit: Option<usize>,
    traffic: Arc<OnceLock<Arc<Traffic>>>,
}

impl Conversation {
    pub(super) fn new(observers: &StreamObservers) -> Self {
        let StreamObservers { responses, result_formats, session_state, row_limit, traffic, direct: _ } =
            observers.clone();
        Self {
            pending: PendingResponses::default(),
            type_depth: TypeDepth::default(),
            unnamed: UnnamedStatements::default(),
            responses,
            result_formats,
            session_state,
            answers: DirectAnswers::default(),
            row_limit,
            traffic,
        }
    }

    pub(super) fn note_received(&self, bytes: usize) {
        if let Some(traffic) = self.traffic.get() {
            traffic.received.add(bytes as u64);
        }
    }

    pub(super) fn note_sent(&self, bytes: usize) {
        if let Some(traffic) = self.traffic.get() {
            traffic.sent.add(bytes as u64);
        }
    }
}
