//! Conditions and preferences in headers (R4 3.1.0.5, 3.1.0.6, 3.1.0.8.1).

use crate::route::pairs;
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::{Handling, Query};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{NOTHING, Repository};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use store::VersionId;

/// `If-Match: W/"3"`; the bare number is understood too.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<VersionId>, Failure> {
    match text(headers, &header::IF_MATCH)? {
        None => Ok(None),
        Some(value) => version(value).map(Some),
    }
}

/// What an update expects: a version by `If-Match`, or nothing by `If-None-Match: *`.
pub(super) fn of_update(headers: &HeaderMap) -> Result<Option<VersionId>, Failure> {
    let expected = if_match(headers)?;
    let wants_nothing = text(headers, &header::IF_NONE_MATCH)?.is_some_and(|tag| tag.trim() == "*");
    Ok(expected.or(wants_nothing.then_some(NOTHING)))
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
    has_tag(headers, &version.0.to_string())
}

/// The same for a tag that is no version.
pub(super) fn has_tag(headers: &HeaderMap, wanted: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|tag| matches!(bare(tag), tag if tag == "*" || tag == wanted))
}

/// True when the client's copy is fresh (R4 3.1.0.1.2): `If-None-Match` decides, and only without
/// it `If-Modified-Since`, whose resolution is a second.
pub(super) fn is_fresh(headers: &HeaderMap, version: VersionId, time_ms: i64) -> bool {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return has_already(headers, version);
    }
    let value = headers.get(header::IF_MODIFIED_SINCE);
    let text = value.and_then(|value| value.to_str().ok());
    let since = text.and_then(http_date_seconds);
    since.is_some_and(|since| time_ms.div_euclid(1000) <= since)
}

/// Seconds since 1970 of `Tue, 24 Nov 2026 19:06:18 GMT`; a date that is none is ignored, as RFC
/// 9110 13.1.3 wants it.
pub(super) fn http_date_seconds(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser
        .parse_timestamp(text)
        .ok()
        .map(|time| time.as_second())
}

/// `If-None-Exist: identifier=sys|val`, read strictly: an unknown criterion must not widen it.
pub(super) fn if_none_exist(
    headers: &HeaderMap,
    resource_type: &str,
    repository: &Repository,
) -> Result<Option<Query>, Failure> {
    match text(headers, &HeaderName::from_static("if-none-exist"))? {
        None => Ok(None),
        Some(text) => criteria(text, resource_type, repository).map(Some),
    }
}

/// The query of a conditional create.
pub(super) fn criteria(
    text: &str,
    resource_type: &str,
    repository: &Repository,
) -> Result<Query, Failure> {
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    criteria_of(&pairs(query)?, resource_type, repository)
}

/// The criteria that name the resource of a conditional write, read strictly: one that is not
/// understood must not widen the match.
pub(super) fn criteria_of(
    pairs: &[(String, String)],
    resource_type: &str,
    repository: &Repository,
) -> Result<Query, Failure> {
    let asking = repository.asking(Handling::Strict).reaching();
    let query = Query::parse_with(resource_type, pairs, &asking)
        .map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    if query.is_unrestricted() {
        let text = "a conditional write needs at least one search criterion";
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
pub(crate) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let values = headers.get_all(HeaderName::from_static("prefer")).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split([',', ';']))
        .any(|part| part.trim() == preference)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Failure> {
    // Names of people are not of ASCII alone, and a Bundle writes them as they are.
    let value = headers.get(name).map(HeaderValue::as_bytes);
    value
        .map(std::str::from_utf8)
        .transpose()
        .map_err(|_not_utf8| {
            let text = format!("the header {name} is not UTF-8");
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
    fn if_modified_since_counts_whole_seconds_and_gives_way_to_etags() {
        let time_ms = 1_795_547_178_900;
        for (since, etag, expected) in [
            ("Tue, 24 Nov 2026 19:06:18 GMT", "", true),
            ("Tue, 24 Nov 2026 19:06:19 GMT", "", true),
            ("Tue, 24 Nov 2026 19:06:17 GMT", "", false),
            ("yesterday", "", false),
            ("Tue, 24 Nov 2026 19:06:19 GMT", "W/\"2\"", false),
            ("Tue, 24 Nov 2026 19:06:17 GMT", "W/\"3\"", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MODIFIED_SINCE, since.parse().unwrap());
            if !etag.is_empty() {
                headers.insert(header::IF_NONE_MATCH, etag.parse().unwrap());
            }
            let fresh = is_fresh(&headers, VersionId(3), time_ms);
            assert_eq!(fresh, expected, "{since} {etag}");
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
