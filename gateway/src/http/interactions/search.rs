//! GET Type?criteria and POST Type/_search: one page of matches, what they include, and links.
//! <https://hl7.org/fhir/R4/search.html>

use super::bundle_text::BundleText;
use super::{Surface, answers, preconditions};
use crate::failure::{Category, Failure, outcome};
use crate::http::exchange::{Answer, Exchange};
use crate::repository::{Cursor, SearchPage, SearchRequest};
use fhir_mapping::model::{Issue, IssueCode, Json, Severity, format};
use fhir_mapping::search::Query;
use store::StoredVersion;

/// Our own parameter in `next` links.
const AFTER: &str = "_after";

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Answer, Failure> {
    let request = request(surface, exchange, resource_type)?;
    let self_link = request.query.self_link();
    let repository = surface.repository.clone();
    let page = super::aside(move || repository.search(&request)).await?;
    let url = format!("{}/{resource_type}", exchange.base_url);
    Ok(answers::body(bundle(
        &page,
        (&url, &self_link),
        &exchange.base_url,
    )))
}

fn request(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<SearchRequest, Failure> {
    let (cursors, pairs): (Vec<_>, Vec<_>) = exchange
        .query
        .iter()
        .cloned()
        .partition(|(name, _)| name == AFTER);
    let handling = preconditions::handling(&exchange.headers);
    let mut query = Query::parse(resource_type, &pairs, handling, surface.repository.zone())
        .map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    query.localize(&exchange.base_url);
    let self_link = query.self_link();
    let after = cursors
        .last()
        .map(|(_, text)| Cursor::parse(text, &self_link))
        .transpose()?;
    let asked = pairs.iter().rev().find(|(name, _)| name == "_total");
    let asks_total = asked.is_some_and(|(_, value)| value == "accurate" || value == "estimate");
    let count = match query.count() {
        _ if query.is_count_only() => 0,
        Some(count) => count.min(surface.page_size_max),
        None => surface.page_size,
    };
    Ok(SearchRequest {
        resource_type: resource_type.to_owned(),
        with_total: asks_total || count == 0,
        query,
        count,
        after,
    })
}

/// `url` and `query` make the self link.
fn bundle(page: &SearchPage, (url, query): (&str, &str), base_url: &str) -> Vec<u8> {
    let link = |more: Option<String>| {
        let parts: Vec<&str> = [Some(query), more.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        match parts.as_slice() {
            [] => url.to_owned(),
            parts => format!("{url}?{}", parts.join("&")),
        }
    };
    let mut links = vec![("self", link(None))];
    // A page of no matches (`_summary=count`) has nothing to go on with.
    if let Some(next) = page.next.as_ref().filter(|_| !page.matches.is_empty()) {
        links.push((
            "next",
            link(Some(format!("{AFTER}={}", next.format(query)))),
        ));
    }
    let mut bundle = BundleText::new("searchset", page.total, &links);
    let mut push = |stored: &StoredVersion, mode: &str| {
        let full_url = format!("{base_url}/{}/{}", stored.key.resource_type, stored.key.id);
        let mode = Json::object([("mode", mode.into())]);
        bundle.push(Some(&full_url), &stored.body, &[("search", mode)]);
    };
    page.matches.iter().for_each(|stored| push(stored, "match"));
    page.included
        .iter()
        .for_each(|stored| push(stored, "include"));
    if page.includes_cut {
        let mode = Json::object([("mode", "outcome".into())]);
        let text = format(&outcome(&[includes_cut()]));
        bundle.push(None, text.as_bytes(), &[("search", mode)]);
    }
    bundle.finish()
}

fn includes_cut() -> Issue {
    Issue {
        severity: Severity::Warning,
        code: IssueCode::TooCostly,
        expression: String::new(),
        number: "E-INCLUDE-1",
        text: "this page includes more resources than one answer holds; some were left out: ask for a smaller _count".to_owned(),
    }
}
