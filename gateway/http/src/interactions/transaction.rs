//! A transaction: all entries in one commit, or none. Order of effect: DELETE, POST, PUT, PATCH,
//! then GET.
//! <https://hl7.org/fhir/R4/http.html#trules>

use super::arrange::{self, Arranged};
use super::bundle_text::BundleText;
use super::entries::{Entry, EntryAnswer, located};
use super::{Surface, answers, aside, preconditions, run};
use crate::exchange::{Answer, Exchange};
use gateway_ground::failure::Failure;
use gateway_repository::Transaction;
use std::collections::HashMap;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    entries: Vec<Result<Entry, Failure>>,
) -> Result<Answer, Failure> {
    let count = entries.len();
    let place = surface.clone();
    let arranged = aside(move || arrange::arrange(entries, &place)).await?;
    let Arranged {
        writes,
        reads,
        same_as,
    } = arranged;
    let (indexes, writes): (Vec<usize>, Vec<_>) = writes.into_iter().unzip();
    let transaction = Transaction {
        actor: exchange.actor.clone(),
        writes,
        rows: Vec::new(),
        resolve_conditional_references: true,
    };
    let written = surface.repository.write(transaction).await;
    let (written, _) = written.map_err(|(write, failure)| refused(failure, write, &indexes))?;
    let with_resource = preconditions::prefers(&exchange.headers, "return=representation");
    let outcomes = written
        .iter()
        .map(|one| EntryAnswer::of_written(one, with_resource));
    let mut by_index: HashMap<usize, EntryAnswer> = indexes.into_iter().zip(outcomes).collect();
    for entry in reads {
        let index = entry.index;
        // Committed already: a read that fails is told in its own entry.
        let read = match entry.exchange(exchange) {
            Ok(read) => Box::pin(run(surface, read)).await,
            Err(failure) => Err(failure),
        };
        let answer = match read {
            Ok(answer) => EntryAnswer::of_answer(answer, &exchange.base_url, true),
            Err(failure) => EntryAnswer::of_failure(&located(failure, index)),
        };
        by_index.insert(index, answer);
    }
    Ok(answers::body(text(count, &by_index, &same_as)))
}

/// A refusal in terms of the Bundle: `writes[n]` is the nth write in order of effect.
fn refused(mut failure: Failure, write: usize, indexes: &[usize]) -> Failure {
    for issue in &mut failure.issues {
        let number = issue.expression.strip_prefix("writes[");
        let number = number.and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
        if let Some(index) = number.and_then(|number| indexes.get(number)) {
            issue.expression = format!("Bundle.entry[{index}]");
        }
    }
    match indexes.get(write) {
        Some(index) => located(failure, *index),
        None => failure,
    }
}

/// The answers in the order of the request; a collapsed entry has that of its twin.
fn text(
    count: usize,
    by_index: &HashMap<usize, EntryAnswer>,
    same_as: &HashMap<usize, usize>,
) -> Vec<u8> {
    let mut bundle = BundleText::new("transaction-response", None, &[]);
    for index in 0..count {
        let index = same_as.get(&index).copied().unwrap_or(index);
        if let Some(answer) = by_index.get(&index) {
            let response = ("response", answer.response.clone());
            bundle.push(None, &answer.resource, &[response]);
        }
    }
    bundle.finish()
}
