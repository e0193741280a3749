//! GET Type/id/_history: all versions, newest first, deletions and versions kept aside included.
//! <https://hl7.org/fhir/R4/http.html#history>

use super::bundle_text::BundleText;
use super::{Surface, answers, preconditions};
use crate::clock::format_instant;
use crate::failure::{Category, Failure};
use crate::http::exchange::{Answer, Exchange};
use crate::repository::VersionInfo;
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::search::Handling;
use store::{ResourceKey, VersionId};

/// Continues before this version: our own parameter in `next` links.
const BEFORE: &str = "_before";

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: &ResourceKey,
) -> Result<Answer, Failure> {
    check_parameters(exchange)?;
    let count = number(exchange, "_count")?.and_then(|count| usize::try_from(count).ok());
    let count = count
        .unwrap_or(surface.page_size)
        .clamp(1, surface.page_size_max);
    let before = number(exchange, BEFORE)?.map(VersionId);
    let page = surface.repository.history(key, before, count)?;
    let url = format!(
        "{}/{}/{}/_history?_count={count}",
        exchange.base_url, key.resource_type, key.id
    );
    let mut links = vec![("self", url.clone())];
    links.extend(
        page.next
            .map(|next| ("next", format!("{url}&{BEFORE}={}", next.0))),
    );
    let mut bundle = BundleText::new("history", Some(page.total), &links);
    let full_url = format!("{}/{}/{}", exchange.base_url, key.resource_type, key.id);
    for version in &page.versions {
        bundle.push(Some(&full_url), &version.stored.body, &members(version));
    }
    Ok(answers::body(bundle.finish()))
}

fn members(version: &VersionInfo) -> [(&'static str, Json); 2] {
    let (stored, method) = (&version.stored, version.method);
    let key = &stored.key;
    let url = match method {
        "POST" => key.resource_type.clone(),
        _ => format!("{}/{}", key.resource_type, key.id),
    };
    let status = match method {
        "POST" => "201",
        "DELETE" => "204",
        _ => "200",
    };
    let request = Json::object([("method", method.into()), ("url", url.into())]);
    let response = Json::object([
        ("status", status.into()),
        ("etag", answers::etag(stored.version).into()),
        ("lastModified", format_instant(stored.time_ms).into()),
    ]);
    [("request", request), ("response", response)]
}

fn number(exchange: &Exchange, name: &str) -> Result<Option<u64>, Failure> {
    let value = exchange.query.iter().rev().find(|(n, _)| n == name);
    let number = value.map(|(_, value)| value.parse()).transpose();
    number.map_err(|_not_a_number| {
        let text = format!("{name} takes a whole number");
        Failure::new(Category::Incorrect, "E-HISTORY-1", IssueCode::Value, text)
    })
}

/// Under strict handling, a parameter that has no effect is refused.
fn check_parameters(exchange: &Exchange) -> Result<(), Failure> {
    let known = ["_count", BEFORE, "_format", "_pretty"];
    let unknown = exchange
        .query
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()));
    match unknown {
        Some(_) if preconditions::handling(&exchange.headers) == Handling::Strict => {
            let text = "history knows the parameters _count, _format and _pretty only";
            Err(Failure::new(
                Category::Incorrect,
                "E-HISTORY-2",
                IssueCode::NotSupported,
                text,
            ))
        }
        _ => Ok(()),
    }
}
