//! Reads replies of a FHIR server strictly: only what such a server says counts. A captive portal's
//! page with status 200 is no acknowledgement, it is a link that is down. Pure.

use super::super::target::{Answer, Page, Pulled, Reading};
use fhir_mapping::model::{self, Json, Limits, Object, Reference};
use gateway_ground::link::retry;
use gateway_ground::link::wire::Reply;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, ETAG, LOCATION, RETRY_AFTER};
use store::ResourceKey;

/// Longest text of a refusal that is kept.
const REFUSAL_CHARS_MAX: usize = 2_000;

/// The answer to a PUT of `key`.
pub(super) fn answer_to_put(reply: &Reply, key: &ResourceKey, now_ms: i64) -> Answer {
    if !matches!(reply.status.as_u16(), 200 | 201) {
        return answer_to_failure(reply, now_ms);
    }
    if reply.body.is_empty() {
        return acknowledged_by_headers(&reply.headers, key);
    }
    let Some(json) = fhir_json(reply) else {
        return unreachable("the answer is no FHIR");
    };
    match json.resource_type() {
        Some("OperationOutcome") => acknowledged_by_headers(&reply.headers, key),
        Some(_) if is_about(&json, key) => Answer::Stored {
            remote_version: version_of(&json, &reply.headers),
        },
        _ => unreachable("the answer is about another resource"),
    }
}

/// The answer to a DELETE.
pub(super) fn answer_to_delete(reply: &Reply, now_ms: i64) -> Answer {
    let is_fhir = reply.body.is_empty() || fhir_json(reply).is_some();
    match reply.status.as_u16() {
        200 | 202 | 204 | 404 | 410 if is_fhir => Answer::Gone,
        200..=299 => unreachable("the answer is no FHIR"),
        _ => answer_to_failure(reply, now_ms),
    }
}

/// What the target holds under `key`.
pub(super) fn reading(reply: &Reply, key: &ResourceKey, base: &str, now_ms: i64) -> Reading {
    match reply.status.as_u16() {
        200 => match fhir_json(reply) {
            Some(json) if is_about(&json, key) => {
                let remote_version = version_of(&json, &reply.headers);
                match pulled(json, base) {
                    Some(pulled) => Reading::Holds(Box::new(Pulled {
                        remote_version,
                        ..pulled
                    })),
                    None => Reading::Other(unreachable("the answer is no resource")),
                }
            }
            _ => Reading::Other(unreachable("the answer is no FHIR")),
        },
        404 if fhir_json(reply).is_some() => Reading::Unknown,
        410 => Reading::Deleted,
        _ => Reading::Other(answer_to_failure(reply, now_ms)),
    }
}

/// A searchset of `resource_type`.
pub(super) fn page(
    reply: &Reply,
    resource_type: &str,
    base: &str,
    now_ms: i64,
) -> Result<Page, Answer> {
    if reply.status.as_u16() != 200 {
        return Err(answer_to_failure(reply, now_ms));
    }
    let bundle = fhir_json(reply).filter(|json| json.resource_type() == Some("Bundle"));
    let bundle = bundle.ok_or_else(|| unreachable("the answer is no Bundle"))?;
    let mut page = Page {
        next: next_link(&bundle, base),
        server_ms: server_ms(&reply.headers),
        ..Page::default()
    };
    for entry in bundle.items("entry") {
        let Some(resource) = entry.get("resource") else {
            continue;
        };
        // Includes and outcomes are no changes of the type asked for.
        if resource.resource_type() != Some(resource_type) {
            continue;
        }
        match pulled(resource.clone(), base) {
            Some(pulled) => page.entries.push(pulled),
            None => page.unreadable += 1,
        }
    }
    Ok(page)
}

/// Any answer that only a FHIR server gives, a refusal included: credentials are no matter of links.
pub(super) fn is_fhir_server(reply: &Reply) -> bool {
    let status = reply.status.as_u16();
    status == 401 || status == 403 || (status < 500 && fhir_json(reply).is_some())
}

/// Anything but success.
fn answer_to_failure(reply: &Reply, now_ms: i64) -> Answer {
    let status = reply.status.as_u16();
    let retry_after = reply.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let retry_after_ms = retry_after.and_then(|text| retry::parse_retry_after(text, now_ms));
    let json = fhir_json(reply);
    match status {
        401 | 403 => Answer::Unauthorised { status },
        408 | 429 | 503 => Answer::Busy { retry_after_ms },
        409 | 412 => Answer::Stale {
            refusal: refusal(json.as_ref(), status),
        },
        407 | 511 => unreachable("a proxy or portal stands between"),
        500..=599 => Answer::Failing { status },
        // A limit of whatever stands in front; it concerns this request, with or without a reason.
        413 | 414 | 431 => Answer::Refused {
            status,
            refusal: refusal(json.as_ref(), status),
        },
        400..=499 if json.is_some() => Answer::Refused {
            status,
            refusal: refusal(json.as_ref(), status),
        },
        _ => Answer::Unreachable {
            why: format!("status {status} without a FHIR answer"),
        },
    }
}

/// The target's own words, cut to a length that a row can hold.
fn refusal(json: Option<&Json>, status: u16) -> String {
    let text = json.map(model::format).unwrap_or_default();
    let text: String = text.chars().take(REFUSAL_CHARS_MAX).collect();
    format!("{status} {text}").trim_end().to_owned()
}

fn unreachable(why: &str) -> Answer {
    Answer::Unreachable {
        why: why.to_owned(),
    }
}

/// The body as a resource, if header and content both say so.
fn fhir_json(reply: &Reply) -> Option<Json> {
    let content_type = reply.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = content_type.split(';').next()?.trim().to_ascii_lowercase();
    if !matches!(media.as_str(), "application/fhir+json" | "application/json") {
        return None;
    }
    let json = model::parse(&reply.body, Limits::default()).ok()?;
    json.resource_type()?;
    Some(json)
}

fn is_about(json: &Json, key: &ResourceKey) -> bool {
    json.resource_type() == Some(&key.resource_type) && json.id() == Some(&key.id)
}

/// Return-minimal replies carry no body: then ETag and Location must both be those of our resource.
fn acknowledged_by_headers(headers: &HeaderMap, key: &ResourceKey) -> Answer {
    let location = headers.get(LOCATION).and_then(|v| v.to_str().ok());
    let wanted = format!("{}/{}/_history/", key.resource_type, key.id);
    let is_ours = location.is_some_and(|text| text.contains(&wanted));
    match etag(headers) {
        Some(remote_version) if is_ours => Answer::Stored { remote_version },
        _ => unreachable("the answer names neither resource nor version"),
    }
}

fn version_of(json: &Json, headers: &HeaderMap) -> String {
    let version = json.str_at(&["meta", "versionId"]).map(str::to_owned);
    version.or_else(|| etag(headers)).unwrap_or_default()
}

/// `W/"3"` -> `3`.
fn etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let version = text.strip_prefix('"')?.strip_suffix('"')?;
    (!version.is_empty()).then(|| version.to_owned())
}

fn server_ms(headers: &HeaderMap) -> Option<i64> {
    retry::parse_http_date(headers.get(DATE)?.to_str().ok()?)
}

/// A resource with our form of references: those under the target's base become relative.
fn pulled(mut resource: Json, base: &str) -> Option<Pulled> {
    let key = ResourceKey {
        resource_type: resource.resource_type()?.to_owned(),
        id: resource
            .id()
            .filter(|id| model::is_valid_id(id))?
            .to_owned(),
    };
    let updated = resource.str_at(&["meta", "lastUpdated"]);
    let updated: Option<jiff::Timestamp> = updated.and_then(|text| text.parse().ok());
    let remote_version = resource.str_at(&["meta", "versionId"]);
    let remote_version = remote_version.unwrap_or_default().to_owned();
    model::walk_references_mut(&mut resource, &mut |object| relative(object, base));
    Some(Pulled {
        key,
        remote_version,
        updated_ms: updated.map_or(0, jiff::Timestamp::as_millisecond),
        resource,
    })
}

fn relative(object: &mut Object, base: &str) {
    let Some(Json::String(text)) = object.get("reference") else {
        return;
    };
    let local = text.strip_prefix(base).and_then(|t| t.strip_prefix('/'));
    let Some(local) = local.map(str::to_owned) else {
        return;
    };
    if matches!(
        Reference::parse(&local),
        Reference::Literal { base: None, .. }
    ) {
        object.set("reference", Json::String(local));
    }
}

/// The next page, if it is on the target itself: a link elsewhere would carry our token away.
fn next_link(bundle: &Json, base: &str) -> Option<String> {
    let is_next = |link: &&Json| link.str_at(&["relation"]) == Some("next");
    let next = bundle.items("link").iter().find(is_next)?;
    let url = next.str_at(&["url"])?;
    if url.starts_with('?') {
        return Some(format!("{base}/{url}"));
    }
    let origin = origin(base)?;
    if url.starts_with('/') && !url.starts_with("//") {
        return Some(format!("{origin}{url}"));
    }
    (self::origin(url)? == origin).then(|| url.to_owned())
}

/// `https://host:port` of a URL.
fn origin(url: &str) -> Option<&str> {
    let authority = url.find("://")? + 3;
    let rest = url.get(authority..)?;
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..authority + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, StatusCode};

    const FHIR: &str = "content-type: application/fhir+json;charset=utf-8";
    const HTML: &str = "content-type: text/html";
    const BASE: &str = "http://h:1/fhir";

    fn reply(status: u16, headers: &[&str], body: &str) -> Reply {
        let pairs = headers.iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: pairs.collect(),
            body: body.to_owned().into(),
        }
    }

    fn key() -> ResourceKey {
        ResourceKey {
            resource_type: "Patient".to_owned(),
            id: "p".to_owned(),
        }
    }

    /// In words, for tables.
    fn word(answer: &Answer) -> String {
        match answer {
            Answer::Stored { remote_version } => format!("stored {remote_version}"),
            Answer::Gone => "gone".to_owned(),
            Answer::Stale { .. } => "stale".to_owned(),
            Answer::Refused { status, refusal } => format!("refused {status}: {refusal}"),
            Answer::Failing { status } => format!("failing {status}"),
            Answer::Busy { retry_after_ms } => format!("busy {retry_after_ms:?}"),
            Answer::Unauthorised { status } => format!("unauthorised {status}"),
            Answer::Unreachable { .. } => "unreachable".to_owned(),
        }
    }

    #[test]
    fn only_a_fhir_server_can_acknowledge() {
        let ours = r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"3"}}"#;
        let other = r#"{"resourceType":"Patient","id":"q","meta":{"versionId":"3"}}"#;
        let outcome = r#"{"resourceType":"OperationOutcome"}"#;
        let location = "location: http://h:1/fhir/Patient/p/_history/3";
        let cases: &[(u16, &[&str], &str, &str)] = &[
            (200, &[FHIR], ours, "stored 3"),
            (201, &["content-type: application/json"], ours, "stored 3"),
            (201, &["etag: W/\"3\"", location], "", "stored 3"),
            (201, &[FHIR, "etag: W/\"3\"", location], outcome, "stored 3"),
            // A captive portal, a portal with JSON, a portal with an ETag.
            (200, &[HTML], "<html>log in</html>", "unreachable"),
            (200, &[HTML], ours, "unreachable"),
            (200, &[FHIR], r#"{"login":true}"#, "unreachable"),
            (200, &["etag: \"3\""], "", "unreachable"),
            (200, &[FHIR], other, "unreachable"),
            (200, &[FHIR], r#"{"resourceType":"#, "unreachable"),
            (200, &[], "", "unreachable"),
            (302, &["location: http://portal/"], "", "unreachable"),
            (404, &[HTML], "<html>", "unreachable"),
            (
                422,
                &[FHIR],
                outcome,
                r#"refused 422: 422 {"resourceType":"OperationOutcome"}"#,
            ),
            (413, &[HTML], "<html>", "refused 413: 413"),
            (412, &[FHIR], outcome, "stale"),
            (409, &[], "", "stale"),
            (401, &[HTML], "", "unauthorised 401"),
            (429, &["retry-after: 7"], "", "busy Some(7000)"),
            (503, &[], "", "busy None"),
            (500, &[HTML], "", "failing 500"),
            (511, &[HTML], "", "unreachable"),
        ];
        for (status, headers, body, expected) in cases {
            let answer = answer_to_put(&reply(*status, headers, body), &key(), 0);
            assert_eq!(word(&answer), *expected, "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn a_deletion_is_acknowledged_by_absence() {
        let outcome = r#"{"resourceType":"OperationOutcome"}"#;
        let cases: &[(u16, &[&str], &str, &str)] = &[
            (204, &[], "", "gone"),
            (200, &[FHIR], outcome, "gone"),
            (404, &[FHIR], outcome, "gone"),
            (410, &[FHIR], outcome, "gone"),
            (200, &[HTML], "<html>", "unreachable"),
            (404, &[HTML], "<html>", "unreachable"),
            (409, &[FHIR], outcome, "stale"),
        ];
        for (status, headers, body, expected) in cases {
            let answer = answer_to_delete(&reply(*status, headers, body), 0);
            assert_eq!(word(&answer), *expected, "{status}");
        }
    }

    #[test]
    fn a_page_is_read_with_local_references_and_safe_links() {
        let bundle = r#"{"resourceType":"Bundle","link":[{"relation":"self","url":"http://h:1/x"},
            {"relation":"next","url":"NEXT"}],"entry":[
            {"resource":{"resourceType":"Observation","id":"o","meta":{"versionId":"2","lastUpdated":"1970-01-01T00:00:01Z"},
              "subject":{"reference":"http://h:1/fhir/Patient/p"},"focus":[{"reference":"http://elsewhere/fhir/Patient/p"}]}},
            {"resource":{"resourceType":"Observation","id":"not an id"}},
            {"resource":{"resourceType":"OperationOutcome"}}]}"#;
        let links = [
            ("http://h:1/fhir?page=2", Some("http://h:1/fhir?page=2")),
            ("/fhir?page=2", Some("http://h:1/fhir?page=2")),
            ("?page=2", Some("http://h:1/fhir/?page=2")),
            ("http://h:12/fhir?page=2", None),
            ("http://h:1.evil/fhir", None),
            ("//evil/fhir", None),
            ("https://h:1/fhir", None),
        ];
        for (link, expected) in links {
            let body = bundle.replace("NEXT", link);
            let headers = [FHIR, "date: Thu, 01 Jan 1970 00:00:09 GMT"];
            let page = page(&reply(200, &headers, &body), "Observation", BASE, 0).unwrap();
            assert_eq!(page.next.as_deref(), expected, "{link}");
            assert_eq!((page.unreadable, page.server_ms), (1, Some(9_000)));
            let [observation] = page.entries.as_slice() else {
                panic!("one entry expected");
            };
            assert_eq!(observation.updated_ms, 1_000);
            let subject = observation.resource.str_at(&["subject", "reference"]);
            assert_eq!(subject, Some("Patient/p"));
            let focus = observation.resource.str_at(&["focus", "reference"]);
            assert_eq!(focus, Some("http://elsewhere/fhir/Patient/p"));
        }
        let portal = page(&reply(200, &[HTML], "<html>"), "Observation", BASE, 0);
        assert_eq!(portal.map_err(|a| word(&a)), Err("unreachable".to_owned()));
    }
}
