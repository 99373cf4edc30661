//! Which statements of a batch travel together.
//!
//! A statement must be prepared before it is sent, and can be prepared only when what it needs is there: the table that
//! an earlier statement makes, the search_path that an earlier one sets. So a batch is cut into flights: a flight ends
//! ahead of a statement that has to be prepared, or whose plan may be another one, after a statement of this flight has
//! changed what names mean.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::sql_facts::Command;
use crate::query::Context;
use crate::query::failure::Failure;
use crate::query::prepare::prepare;
use crate::query::statement::Statement;

/// Where a flight may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// After a statement that changes what names mean.
    AfterEachChange,
    /// After such a statement, unless it only changes settings and the plans of the statements behind it are known: if
    /// they turn out to be out of date, the whole batch runs again.
    WhereNeeded,
}

/// What the statements of a flight have changed so far.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    Settings,
    Anything,
}

/// How many of the statements go in the next flight.
pub(super) fn next_flight<'a>(
    session: &Session,
    mut statements: impl Iterator<Item = &'a Statement>,
    cut: Cut,
) -> usize {
    let mut length = 0;
    let mut changed = None;
    loop {
        let Some(statement) = statements.next() else { return length };
        let text = &statement.text;
        if length > 0 && text.facts.command == Command::Borrowed {
            return length;
        }
        let must_wait = match changed {
            None => false,
            Some(Changed::Settings) => cut == Cut::AfterEachChange || !session.has_plan_for_all_scopes(text),
            Some(Changed::Anything) => true,
        };
        if must_wait {
            return length;
        }
        length += 1;
        if text.facts.may_change_names(&statement.params) {
            let this = if text.facts.only_sets() { Changed::Settings } else { Changed::Anything };
            changed = changed.max(Some(this));
        }
    }
}

/// The plans of the statements of a flight. Missing ones are prepared in one flight of their own. An error comes with
/// the index of its statement.
pub(super) async fn plans_of<'a>(
    context: &Context,
    session: &Session,
    statements: impl Iterator<Item = &'a Statement>,
    cut: Cut,
) -> Result<Vec<Arc<Prepared>>, (usize, Failure)> {
    let known = |statement: &'a Statement| {
        let plan = match cut {
            Cut::WhereNeeded => session.plan_of(&statement.text, clock()),
            Cut::AfterEachChange => session.undoubted_plan_of(&statement.text),
        };
        (statement, plan)
    };
    let statements: Vec<_> = statements.map(known).collect();
    let mut missing = HashSet::new();
    let prepared = statements
        .iter()
        .enumerate()
        .filter(|(_, (statement, plan))| plan.is_none() && missing.insert(statement.text.id))
        .map(|(index, (statement, _))| async move {
            let plan = prepare(context, session, &statement.text).await.map_err(|failure| (index, failure))?;
            Ok((statement.text.id, plan))
        });
    let prepared: HashMap<u32, Arc<Prepared>> = join_all(prepared).await.into_iter().collect::<Result<_, _>>()?;
    context.cluster.statistics.prepared_hits.add((statements.len() - prepared.len()) as u64);
    let plans =
        statements.into_iter().map(|(statement, plan)| plan.or_else(|| prepared.get(&statement.text.id).cloned()));
    Ok(plans.flatten().collect())
}
