//! POST of a Bundle to the base: a batch or a transaction.
//! <https://hl7.org/fhir/R4/http.html#transaction>

use super::entries::{self, Entry};
use super::{Surface, batch, content, transaction};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{Issue, IssueCode, Json, Object};
use gateway_ground::failure::{Category, Failure};
use std::collections::HashMap;

/// How the entries stand to each other.
enum Kind {
    Batch,
    Transaction,
}

pub(super) async fn answer(surface: &Surface, exchange: &Exchange) -> Result<Answer, Failure> {
    let (body, base_url) = (exchange.body.clone(), exchange.base_url.clone());
    let entries_max = surface.bundle_entries_max;
    let read = move || read(&body, &base_url, entries_max);
    let (kind, entries) = super::aside(read).await?;
    match kind {
        Kind::Batch => batch::answer(surface, exchange, entries).await,
        Kind::Transaction => transaction::answer(surface, exchange, entries).await,
    }
}

type Entries = Vec<Result<Entry, Failure>>;

fn read(body: &[u8], base_url: &str, entries_max: usize) -> Result<(Kind, Entries), Failure> {
    let mut bundle = content::json(body)?;
    content::check_type(&bundle, "Bundle")?;
    let kind = kind(&bundle)?;
    let count = bundle.items("entry").len();
    if count > entries_max {
        let text =
            format!("the Bundle has {count} entries; at most {entries_max} are taken at once");
        return Err(
            Failure::new(Category::TooLarge, "E-BUNDLE-1", IssueCode::TooCostly, text)
                .at("Bundle.entry"),
        );
    }
    let resources = take_resources(&mut bundle);
    let mut spoilt = spoilt(&bundle, &kind)?;
    let shells = bundle.items("entry").iter().zip(resources).enumerate();
    let entries = shells
        .map(|(index, (shell, resource))| match spoilt.remove(&index) {
            Some(issues) => Err(Failure::of(Category::Unprocessable, issues)),
            None => entries::read((index, shell), resource, base_url),
        })
        .collect();
    Ok((kind, entries))
}

/// What is wrong with single entries of a batch, which harms no other. All else refuses the whole.
fn spoilt(bundle: &Json, kind: &Kind) -> Result<HashMap<usize, Vec<Issue>>, Failure> {
    let mut of_entries: HashMap<usize, Vec<Issue>> = HashMap::new();
    let mut of_all = Vec::new();
    for issue in content::errors(bundle) {
        let place = issue.expression.strip_prefix("Bundle.entry[");
        let place = place.and_then(|rest| rest.split_once(']'));
        let index = place.and_then(|(index, _)| index.parse().ok());
        match (index, place) {
            // Only its resource was there, and that was taken out: it lacks a request.
            (Some(index), Some((_, ""))) if is_bare(bundle, index) => {}
            (Some(index), _) if matches!(kind, Kind::Batch) => {
                of_entries.entry(index).or_default().push(issue);
            }
            _ => of_all.push(issue),
        }
    }
    match of_all.is_empty() {
        true => Ok(of_entries),
        false => Err(Failure::of(Category::Unprocessable, of_all)),
    }
}

fn kind(bundle: &Json) -> Result<Kind, Failure> {
    match bundle.get("type").and_then(Json::as_str) {
        Some("batch") => Ok(Kind::Batch),
        Some("transaction") => Ok(Kind::Transaction),
        _ => {
            let text = "a Bundle sent to the base is of type batch or transaction";
            Err(
                Failure::new(Category::Incorrect, "E-BUNDLE-2", IssueCode::Value, text)
                    .at("Bundle.type"),
            )
        }
    }
}

fn is_bare(bundle: &Json, index: usize) -> bool {
    let entry = bundle.items("entry").get(index);
    entry
        .and_then(Json::as_object)
        .is_some_and(Object::is_empty)
}

/// Resources are checked by themselves, so that each finding names its entry.
fn take_resources(bundle: &mut Json) -> Vec<Option<Json>> {
    let entries = bundle.get_mut("entry").and_then(Json::as_array_mut);
    let take = |entry: &mut Json| entry.as_object_mut()?.remove("resource");
    entries
        .map(|entries| entries.iter_mut().map(take).collect())
        .unwrap_or_default()
}
