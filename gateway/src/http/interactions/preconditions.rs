//! Conditions and preferences in headers (R4 3.1.0.5, 3.1.0.6, 3.1.0.8.1).

use crate::failure::{Category, Failure};
use crate::http::route::pairs;
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::{Handling, Query, Zone};
use http::{HeaderMap, HeaderName, header};
use store::VersionId;

/// `If-Match: W/"3"`; the bare number is understood too.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<VersionId>, Failure> {
    match text(headers, &header::IF_MATCH)? {
        None => Ok(None),
        Some(value) => version(value).map(Some),
    }
}

/// One ETag as a version.
pub(super) fn version(tag: &str) -> Result<VersionId, Failure> {
    let number = bare(tag).parse().ok().filter(|number| *number > 0);
    number.map(VersionId).ok_or_else(|| {
        let text = "If-Match takes the ETag of one version, as W/\"3\"";
        Failure::new(Category::Incorrect, "E-COND-1", IssueCode::Value, text)
    })
}

/// True when `If-None-Match` names this version (or any, with `*`): the client has it already.
pub(super) fn has_already(headers: &HeaderMap, version: VersionId) -> bool {
    let wanted = version.0.to_string();
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|tag| matches!(bare(tag), tag if tag == "*" || tag == wanted))
}

/// `If-None-Exist: identifier=sys|val`, read strictly: an unknown criterion must not widen it.
pub(super) fn if_none_exist(
    headers: &HeaderMap,
    resource_type: &str,
    zone: &Zone,
) -> Result<Option<Query>, Failure> {
    match text(headers, &HeaderName::from_static("if-none-exist"))? {
        None => Ok(None),
        Some(text) => criteria(text, resource_type, zone).map(Some),
    }
}

/// The query of a conditional create.
pub(super) fn criteria(text: &str, resource_type: &str, zone: &Zone) -> Result<Query, Failure> {
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = Query::parse(resource_type, &pairs(query)?, Handling::Strict, zone)
        .map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    if query.is_unrestricted() {
        let text = "If-None-Exist needs at least one search criterion";
        return Err(Failure::new(
            Category::Incorrect,
            "E-COND-2",
            IssueCode::Required,
            text,
        ));
    }
    Ok(query)
}

/// `Prefer: handling=strict`; lenient unless asked for.
pub(super) fn handling(headers: &HeaderMap) -> Handling {
    if prefers(headers, "handling=strict") {
        Handling::Strict
    } else {
        Handling::Lenient
    }
}

/// Is this among the preferences of `Prefer`?
pub(super) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let values = headers.get_all(HeaderName::from_static("prefer")).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split([',', ';']))
        .any(|part| part.trim() == preference)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Failure> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_not_text| {
        let text = format!("the header {name} is not plain text");
        Failure::new(Category::Incorrect, "E-COND-3", IssueCode::Value, text)
    })
}

/// The tag without `W/` and quotes.
fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags() {
        for (tag, expected) in [
            ("W/\"3\"", Some(3)),
            ("\"3\"", Some(3)),
            ("3", Some(3)),
            ("W/\"0\"", None),
            ("*", None),
            ("W/\"x\"", None),
            ("", None),
        ] {
            assert_eq!(version(tag).ok().map(|v| v.0), expected, "{tag}");
        }
    }

    #[test]
    fn if_none_match_knows_lists_and_bare_versions() {
        for (value, expected) in [
            ("W/\"3\"", true),
            ("3", true),
            ("W/\"1\", W/\"3\"", true),
            ("*", true),
            ("W/\"33\"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            assert_eq!(has_already(&headers, VersionId(3)), expected, "{value}");
        }
    }
}
