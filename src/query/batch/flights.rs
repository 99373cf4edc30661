//! Which statements of a batch travel together.
//!
//! A statement must be prepared before it is sent, and can be prepared only when what it needs is there: the table that
//! an earlier statement makes, the search_path that an earlier one sets. So a batch is cut into flights: a flight ends
//! ahead of a statement that has to be prepared, or whose plan may be another one, after a statement of this flight has
//! changed what names mean.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::sql_facts::{Command, SettingsChange};
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

/// How many of the statements go in the next flight.
pub(super) fn next_flight<'a>(
    session: &Session,
    mut statements: impl Iterator<Item = &'a Statement>,
    cut: Cut,
) -> usize {
    let mut length = 0;
    let mut change = None;
    loop {
        let Some(statement) = statements.next() else { return length };
        let text = &statement.text;
        if length > 0 && text.facts.command == Command::Borrowed {
            return length;
        }
        let must_wait = match change {
            None => false,
            Some(SettingsChange::None) => true,
            Some(_) => cut == Cut::AfterEachChange || !session.has_plan_for_all_scopes(text),
        };
        if must_wait {
            return length;
        }
        length += 1;
        if text.facts.may_change_names(&statement.params) {
            let only_sets = text.facts.may_set && !text.facts.runs_code;
            let this = if only_sets { SettingsChange::Local } else { text.facts.settings_change };
            change = Some(if change == Some(SettingsChange::None) { SettingsChange::None } else { this });
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
    let mut plans: Vec<Option<Arc<Prepared>>> = Vec::new();
    let mut missing: Vec<(usize, &Statement)> = Vec::new();
    // The statements whose plan is that of an earlier one.
    let mut same = Vec::new();
    for (index, statement) in statements.enumerate() {
        let plan = match cut {
            Cut::WhereNeeded => session.plan_of(&statement.text, clock()),
            Cut::AfterEachChange => session.undoubted_plan_of(&statement.text),
        };
        if plan.is_none() {
            match missing.iter().find(|(_, other)| other.text.id == statement.text.id) {
                Some((first, _)) => same.push((index, *first)),
                None => missing.push((index, statement)),
            }
        }
        plans.push(plan);
    }
    let prepared = missing
        .into_iter()
        .map(|(index, statement)| async move { (index, prepare(context, session, &statement.text).await) });
    for (index, plan) in join_all(prepared).await {
        plans[index] = Some(plan.map_err(|failure| (index, failure))?);
    }
    for (index, first) in same {
        let plan = plans[first].clone();
        plans[index] = plan;
    }
    Ok(plans.into_iter().flatten().collect())
}
