//! From a request to an answer: the server's FHIR face. No sockets here.

use super::rules;
use super::shelf::{By, Key, Shelf, Version, instant};
use http::Method;
use serde_json::{Value, json};

/// Resources on a page unless the client asks for fewer.
const PAGE_SIZE: usize = 100;

/// A request, read whole.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Under the base, without slashes at the ends.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) content_type: String,
    pub(super) content_encoding: String,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) base: String,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) json: Value,
    /// It changed what the server holds.
    pub(super) is_write: bool,
}

/// Answers, changing the shelf if the request says so.
pub(super) fn answer(shelf: &mut Shelf, ask: &Ask) -> Answer {
    let answer = route(shelf, ask);
    if (400..500).contains(&answer.status) && !matches!(answer.status, 404 | 409 | 410 | 412) {
        let reason = answer.json.pointer("/issue/0/diagnostics").cloned();
        let reason = reason.unwrap_or_default();
        shelf
            .refusals
            .push(format!("{} {} {reason}", answer.status, ask.path));
    }
    answer
}

/// The answer to a write that was meant for a life before a restore.
pub(super) fn another_life() -> Answer {
    refuse(412, "conflict", "this server was restored since")
}

fn route(shelf: &mut Shelf, ask: &Ask) -> Answer {
    let steps: Vec<&str> = ask.path.split('/').collect();
    match (&ask.method, steps.as_slice()) {
        (&Method::GET, ["metadata"]) => capabilities(),
        (_, [resource_type, ..]) if !rules::is_known_type(resource_type) => refuse(
            404,
            "not-supported",
            &format!("no such type here: {resource_type}"),
        ),
        (&Method::GET, [resource_type]) => search(shelf, ask, resource_type),
        (&Method::GET, [resource_type, id]) => read(shelf, &key(resource_type, id)),
        (&Method::PUT, [resource_type, id]) => put(shelf, ask, key(resource_type, id)),
        (&Method::DELETE, [resource_type, id]) => delete(shelf, ask, key(resource_type, id)),
        _ => refuse(
            405,
            "not-supported",
            "this server takes GET, PUT and DELETE by id",
        ),
    }
}

fn key(resource_type: &str, id: &str) -> Key {
    (resource_type.to_owned(), id.to_owned())
}

fn read(shelf: &Shelf, key: &Key) -> Answer {
    match shelf.newest(key) {
        None => refuse(404, "not-found", "unknown"),
        Some(version) => match &version.json {
            None => refuse(410, "deleted", "deleted"),
            Some(json) => Answer {
                status: 200,
                headers: vec![("etag", etag(version))],
                json: json.clone(),
                is_write: false,
            },
        },
    }
}

fn put(shelf: &mut Shelf, ask: &Ask, key: Key) -> Answer {
    let media = ask.content_type.split(';').next().unwrap_or_default();
    if media != "application/fhir+json" || !ask.content_encoding.is_empty() {
        return refuse(415, "not-supported", "plain application/fhir+json only");
    }
    if !rules::is_valid_id(&key.1) {
        return refuse(400, "value", "no valid id");
    }
    let Ok(json) = serde_json::from_slice::<Value>(&ask.body) else {
        return refuse(400, "structure", "no JSON");
    };
    if let Some(refusal) = precondition(shelf, ask, &key) {
        return refusal;
    }
    if let Err((status, reason)) = rules::check(shelf, &key.0, &key.1, &json) {
        return refuse(status, "invalid", &reason);
    }
    let is_new = shelf.current(&key).is_none();
    let location = format!("{}/{}/{}", ask.base, key.0, key.1);
    let version = shelf.write(key, Some(json), By::Outside);
    Answer {
        status: if is_new { 201 } else { 200 },
        headers: vec![
            ("etag", etag(&version)),
            (
                "location",
                format!("{location}/_history/{}", version.number),
            ),
        ],
        json: version.json.unwrap_or_default(),
        is_write: true,
    }
}

fn delete(shelf: &mut Shelf, ask: &Ask, key: Key) -> Answer {
    if shelf.current(&key).is_none() {
        return refuse(410, "deleted", "not here");
    }
    if let Some(refusal) = precondition(shelf, ask, &key) {
        return refusal;
    }
    shelf.write(key, None, By::Outside);
    Answer {
        status: 204,
        is_write: true,
        ..Answer::default()
    }
}

/// 412 when the client's idea of the current version is wrong.
fn precondition(shelf: &Shelf, ask: &Ask, key: &Key) -> Option<Answer> {
    let newest = shelf.newest(key);
    let exists = newest.is_some_and(|version| version.json.is_some());
    if ask.if_none_match.as_deref() == Some("*") && exists {
        return Some(refuse(412, "conflict", "it exists already"));
    }
    let wanted = ask.if_match.as_ref()?;
    let matches = exists && newest.is_some_and(|version| etag(version) == *wanted);
    (!matches).then(|| refuse(412, "conflict", "another version is current"))
}

fn etag(version: &Version) -> String {
    format!("W/\"{}\"", version.number)
}

/// `Type?_lastUpdated=ge...&_sort=_lastUpdated&_count=n`, in pages that go on after the last entry.
fn search(shelf: &Shelf, ask: &Ask, resource_type: &str) -> Answer {
    let mut since_ms = i64::MIN;
    let mut count = PAGE_SIZE;
    let mut after = None;
    for pair in ask.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_fine = match name {
            "_lastUpdated" => parse_since(value).map(|ms| since_ms = ms).is_some(),
            "_count" => value
                .parse()
                .map(|n: usize| count = n.clamp(1, PAGE_SIZE))
                .is_ok(),
            "_after" => parse_place(value)
                .map(|place| after = Some(place))
                .is_some(),
            "_sort" => value == "_lastUpdated",
            _ => false,
        };
        if !is_fine {
            return refuse(400, "not-supported", &format!("cannot search by {name}"));
        }
    }
    let found = shelf.changed(resource_type, since_ms, after.as_ref());
    let page: Vec<&(&str, &Version)> = found.iter().take(count).collect();
    let mut links = Vec::new();
    if let Some((id, last)) = page.last().filter(|_| found.len() > count) {
        let place = format!("_after={}!{id}", last.updated_ms);
        let url = format!("{}/{resource_type}?_count={count}&{place}", ask.base);
        links.push(json!({"relation": "next", "url": url}));
    }
    let entry = |(id, version): &&(&str, &Version)| {
        json!({"fullUrl": format!("{}/{resource_type}/{id}", ask.base), "resource": version.json,
            "search": {"mode": "match"}})
    };
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links,
        "meta": {"lastUpdated": instant(found.last().map_or(0, |(_, v)| v.updated_ms))}});
    if let Some(object) = bundle.as_object_mut().filter(|_| !page.is_empty()) {
        object.insert("entry".to_owned(), page.iter().map(entry).collect());
    }
    Answer {
        status: 200,
        json: bundle,
        ..Answer::default()
    }
}

fn parse_since(value: &str) -> Option<i64> {
    let time: jiff::Timestamp = value.strip_prefix("ge")?.parse().ok()?;
    Some(time.as_millisecond())
}

fn parse_place(value: &str) -> Option<(i64, String)> {
    let (ms, id) = value.split_once('!')?;
    Some((ms.parse().ok()?, id.to_owned()))
}

fn capabilities() -> Answer {
    Answer {
        status: 200,
        json: json!({"resourceType": "CapabilityStatement", "status": "active",
            "kind": "instance", "fhirVersion": "4.0.1", "format": ["json"],
            "rest": [{"mode": "server"}]}),
        ..Answer::default()
    }
}

fn refuse(status: u16, code: &str, reason: &str) -> Answer {
    Answer {
        status,
        json: json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": code, "diagnostics": reason}]}),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, query: &str, body: &Value) -> Ask {
        Ask {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: "application/fhir+json; charset=utf-8".to_owned(),
            content_encoding: String::new(),
            if_match: None,
            if_none_match: None,
            body: body.to_string().into_bytes(),
            base: "http://h/fhir".to_owned(),
        }
    }

    fn put_patient(shelf: &mut Shelf, if_match: Option<&str>, if_none_match: Option<&str>) -> u16 {
        let body = json!({"resourceType": "Patient", "id": "p"});
        let ask = Ask {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
            ..ask(Method::PUT, "Patient/p", "", &body)
        };
        answer(shelf, &ask).status
    }

    #[test]
    fn writes_need_the_version_they_name() {
        let mut shelf = Shelf::default();
        assert_eq!(put_patient(&mut shelf, Some("W/\"1\""), None), 412);
        assert_eq!(put_patient(&mut shelf, None, Some("*")), 201);
        assert_eq!(put_patient(&mut shelf, None, Some("*")), 412);
        assert_eq!(put_patient(&mut shelf, Some("W/\"2\""), None), 412);
        assert_eq!(put_patient(&mut shelf, Some("W/\"1\""), None), 200);
        let gone = ask(Method::DELETE, "Patient/p", "", &Value::Null);
        assert_eq!(answer(&mut shelf, &gone).status, 204);
        assert_eq!(answer(&mut shelf, &gone).status, 410);
        assert_eq!(put_patient(&mut shelf, Some("W/\"3\""), None), 412);
        assert_eq!(put_patient(&mut shelf, None, Some("*")), 201);
        let read = ask(Method::GET, "Patient/p", "", &Value::Null);
        let version = answer(&mut shelf, &read).json["meta"]["versionId"].clone();
        assert_eq!(version, json!("4"));
    }

    #[test]
    fn pages_cover_everything_once_in_order() {
        let mut shelf = Shelf::default();
        for n in 0..7 {
            let id = format!("p{n}");
            let body = json!({"resourceType": "Patient", "id": id});
            shelf.write(key("Patient", &id), Some(body), By::National);
        }
        let mut ids = Vec::new();
        let mut query = "_sort=_lastUpdated&_count=3".to_owned();
        loop {
            let page = answer(
                &mut shelf,
                &ask(Method::GET, "Patient", &query, &Value::Null),
            );
            assert_eq!(page.status, 200);
            for entry in page.json["entry"].as_array().unwrap() {
                ids.push(entry["resource"]["id"].as_str().unwrap().to_owned());
            }
            let Some(next) = page.json["link"][0]["url"].as_str() else {
                break;
            };
            query = next.split_once('?').unwrap().1.to_owned();
        }
        assert_eq!(ids, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
        let future = "_lastUpdated=ge2999-01-01T00:00:00Z";
        let none = answer(
            &mut shelf,
            &ask(Method::GET, "Patient", future, &Value::Null),
        );
        assert!(none.json.get("entry").is_none());
    }

    #[test]
    fn the_rest_is_refused_and_told() {
        let mut shelf = Shelf::default();
        let cases = [
            (Method::GET, "Nonsense/1", "", 404),
            (Method::GET, "Patient/unknown", "", 404),
            (Method::POST, "Patient", "", 405),
            (Method::GET, "Patient", "name=x", 400),
            (Method::PUT, "Observation/o", "", 400),
            (Method::PUT, "Patient/no_id", "", 400),
        ];
        for (method, path, query, expected) in cases {
            let answer = answer(&mut shelf, &ask(method, path, query, &json!({})));
            assert_eq!(answer.status, expected, "{path}");
            assert_eq!(answer.json["resourceType"], "OperationOutcome", "{path}");
        }
        assert_eq!(shelf.refusals.len(), 4);
    }
}
