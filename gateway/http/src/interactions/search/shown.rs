//! A page as a Bundle: self and next link, matches, includes, and what a client should know.

use super::asked::{AFTER, Search};
use crate::interactions::bundle_text::BundleText;
use crate::interactions::read;
use fhir_mapping::model::{Issue, IssueCode, Json, Severity, format};
use fhir_mapping::subset::Subset;
use gateway_ground::failure::outcome;
use gateway_repository::SearchPage;
use std::borrow::Cow;
use store::StoredVersion;

/// Names of parameters that a warning lists.
const NAMES_MAX: usize = 8;

/// `url` without query makes the links, `base_url` the full URLs.
pub(super) fn bundle(page: &SearchPage, search: &Search, (url, base_url): (&str, &str)) -> Vec<u8> {
    let total = page.total;
    let mut bundle = BundleText::new("searchset", total, &links(page, search, url));
    let mut push = |stored: &StoredVersion, mode: &str, subset: Option<&Subset>| {
        let full_url = format!("{base_url}/{}/{}", stored.key.resource_type, stored.key.id);
        let mode = Json::object([("mode", mode.into())]);
        let body = match subset {
            None => Cow::Borrowed(stored.body.as_slice()),
            Some(how) => read::lessened(&stored.body, how),
        };
        bundle.push(Some(&full_url), &body, &[("search", mode)]);
    };
    let of_matches = search.subset.as_ref();
    // `_elements` names elements of the matches.
    let of_includes = of_matches.filter(|how| !matches!(how, Subset::Elements(_)));
    for stored in &page.matches {
        push(stored, "match", of_matches);
    }
    for stored in &page.included {
        push(stored, "include", of_includes);
    }
    let notes = notes(page, search);
    if !notes.is_empty() && !search.is_count_only {
        let mode = Json::object([("mode", "outcome".into())]);
        let text = format(&outcome(&notes));
        bundle.push(None, text.as_bytes(), &[("search", mode)]);
    }
    bundle.finish()
}

fn links(page: &SearchPage, search: &Search, url: &str) -> Vec<(&'static str, String)> {
    let link = |after: Option<&str>| {
        let after = after.map(|after| format!("{AFTER}={after}"));
        let parts: Vec<&str> = [Some(search.self_link.as_str()), after.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        match parts.as_slice() {
            [] => url.to_owned(),
            parts => format!("{url}?{}", parts.join("&")),
        }
    };
    let mut links = vec![("self", link(search.after.as_deref()))];
    // A page of no matches (`_summary=count`) has nothing to go on with.
    if let Some(next) = page.next.as_ref().filter(|_| !page.matches.is_empty()) {
        links.push(("next", link(Some(&next.format(&search.self_link)))));
    }
    links
}

/// What the client should know about this page.
fn notes(page: &SearchPage, search: &Search) -> Vec<Issue> {
    let mut notes = Vec::new();
    if !search.ignored.is_empty() {
        let names = search.ignored.iter().take(NAMES_MAX);
        let names: Vec<String> = names.map(|name| name.chars().take(64).collect()).collect();
        notes.push(warning(
            "E-SCAN-5",
            IssueCode::NotSupported,
            format!("not understood and left out: {}", names.join(", ")),
        ));
    }
    if page.includes_cut {
        let text = "this page includes more resources than one answer holds; some were left out: ask for a smaller _count";
        notes.push(warning(
            "E-INCLUDE-1",
            IssueCode::TooCostly,
            text.to_owned(),
        ));
    }
    notes
}

fn warning(number: &'static str, code: IssueCode, text: String) -> Issue {
    Issue {
        severity: Severity::Warning,
        code,
        expression: String::new(),
        number,
        text,
    }
}
