//! The interactions over a real store, without sockets.

use super::{Surface, run};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};
use crate::http::route::{pairs, route};
use crate::repository::{Actor, Repository};
use fhir_mapping::model::{Json, Limits, parse};
use fhir_mapping::search::Zone;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;
use store::{Keys, OpenOptions, Origin, OriginKind, Store};
use tempfile::TempDir;

const BASE: &str = "http://127.0.0.1:8080/fhir";
const START_MS: i64 = 1_795_547_178_000;

/// A gateway's inside over a store of its own.
struct Site {
    surface: Surface,
    clock: Clock,
    _folder: TempDir,
}

/// What came back: status and tree, for a failure its OperationOutcome.
struct Reply {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    text: String,
}

impl Site {
    fn new() -> Site {
        let folder = TempDir::new().unwrap();
        let options = OpenOptions {
            folder: folder.path().join("data"),
            map_size_bytes: 1 << 28,
            queue_length_max: 1024,
            random: |buffer| {
                for chunk in buffer.chunks_mut(16) {
                    chunk.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[..chunk.len()]);
                }
            },
        };
        let keys = Keys {
            key_encryption_key: [7; 32],
        };
        let store = Store::open(options, keys).unwrap();
        let clock = Clock::driven(START_MS);
        let zone = Zone(jiff::tz::TimeZone::UTC);
        let surface = Surface {
            repository: Repository::new(store, clock.clone(), zone),
            page_size: 50,
            page_size_max: 1000,
            bundle_entries_max: 5000,
        };
        Site {
            surface,
            clock,
            _folder: folder,
        }
    }

    /// `request` is `GET Patient/a?x=y`; headers are `Name: value`.
    async fn ask(&self, request: &str, headers: &[&str], body: &str) -> Reply {
        match self.run(request, headers, body).await {
            Ok(answer) => Reply {
                status: answer.status,
                headers: answer.headers,
                text: String::from_utf8(answer.body).unwrap(),
            },
            Err(failure) => Reply {
                status: failure.category.status(),
                headers: Vec::new(),
                text: fhir_mapping::model::format(&failure.outcome()),
            },
        }
    }

    async fn run(&self, request: &str, headers: &[&str], body: &str) -> Result<Answer, Failure> {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let interaction =
            route(&method, &format!("/{path}")).map_err(|unrouted| unrouted.failure)?;
        let headers: HeaderMap = headers
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let exchange = Exchange {
            interaction,
            actor: Actor {
                name: "emr".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            query: pairs(query)?,
            headers,
            body: body.to_owned().into(),
            base_url: BASE.to_owned(),
        };
        run(&self.surface, exchange).await
    }

    async fn bundle(&self, kind: &str, entries: &[String]) -> Reply {
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#,
            entries.join(",")
        );
        self.ask("POST ", &[], &body).await
    }

    /// Ids on a page, in order, and the query of its next link.
    async fn page(&self, request: &str) -> (Vec<String>, Option<String>) {
        let tree = self.ask(request, &[], "").await.ok(200);
        let ids = tree.items("entry").iter();
        let ids = ids.map(|entry| entry.str_at(&["resource", "id"]).unwrap().to_owned());
        let next = tree
            .items("link")
            .iter()
            .find(|l| l.str_at(&["relation"]) == Some("next"));
        let next = next.map(|link| {
            link.str_at(&["url"])
                .unwrap()
                .replace(&format!("{BASE}/"), "GET ")
        });
        (ids.collect(), next)
    }

    async fn pages(&self, request: &str) -> Vec<Vec<String>> {
        let (mut pages, mut next) = (Vec::new(), Some(request.to_owned()));
        while let Some(request) = next {
            let (ids, following) = self.page(&request).await;
            pages.push(ids);
            next = following;
        }
        pages
    }
}

impl Reply {
    #[track_caller]
    fn ok(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.text);
        self.tree()
    }

    #[track_caller]
    fn refused(&self, status: u16, number: &str, expression: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        let tree = self.tree();
        assert!(self.text.contains(&format!("{number}: ")), "{}", self.text);
        let found = tree
            .at(&["issue", "expression"])
            .and_then(Json::as_str)
            .unwrap_or("");
        assert_eq!(found, expression, "{}", self.text);
    }

    fn tree(&self) -> Json {
        parse(self.text.as_bytes(), Limits::default()).unwrap_or(Json::Null)
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.as_str() == name);
        found.map_or("", |(_, value)| value.to_str().unwrap())
    }
}

fn entry(method: &str, url: &str, more: &str, resource: &str) -> String {
    let resource = if resource.is_empty() {
        String::new()
    } else {
        format!(r#""resource":{resource},"#)
    };
    format!(r#"{{{resource}{more}"request":{{"method":"{method}","url":"{url}"}}}}"#)
}

fn entry_if_none_exist(criteria: &str, full_url: &str, resource: &str) -> String {
    format!(
        r#"{{"fullUrl":"{full_url}","resource":{resource},"request":{{"method":"POST","url":"Patient","ifNoneExist":"{criteria}"}}}}"#
    )
}

fn patient(number: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","identifier":[{{"system":"urn:mrn","value":"{number}"}}]}}"#
    )
}

#[tokio::test]
async fn the_life_of_one_resource() {
    let site = Site::new();
    let made = site
        .ask(
            "PUT Patient/a",
            &[],
            r#"{"resourceType":"Patient","id":"a","active":true}"#,
        )
        .await;
    let text = r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"2026-11-24T19:06:18.000Z"},"active":true}"#;
    made.ok(201);
    assert_eq!(made.text, text);
    assert_eq!(made.header("etag"), "W/\"1\"");
    assert_eq!(
        made.header("location"),
        format!("{BASE}/Patient/a/_history/1")
    );
    assert_eq!(
        made.header("last-modified"),
        "Tue, 24 Nov 2026 19:06:18 GMT"
    );
    let read = site.ask("GET Patient/a", &[], "").await;
    read.ok(200);
    assert_eq!(read.text, text);
    let have = site
        .ask("GET Patient/a", &["If-None-Match: W/\"1\""], "")
        .await;
    assert_eq!((have.status, have.text.as_str()), (304, ""));

    site.clock.advance(Duration::from_secs(1));
    let same = site.ask("PUT Patient/a", &[], text).await;
    same.ok(200);
    assert_eq!(
        same.header("etag"),
        "W/\"1\"",
        "the same content makes no version"
    );
    let other = r#"{"resourceType":"Patient","id":"a","active":false}"#;
    let stale = site
        .ask("PUT Patient/a", &["If-Match: W/\"7\""], other)
        .await;
    stale.refused(412, "E-WRITE-1", "");
    let updated = site
        .ask("PUT Patient/a", &["If-Match: W/\"1\""], other)
        .await;
    updated.ok(200);
    assert_eq!(updated.header("etag"), "W/\"2\"");
    site.ask("PUT Patient/a", &["If-Match: W/\"1\""], text)
        .await
        .refused(412, "E-WRITE-1", "");

    let deleted = site.ask("DELETE Patient/a", &[], "").await;
    assert_eq!((deleted.status, deleted.header("etag")), (204, "W/\"3\""));
    let again = site.ask("DELETE Patient/a", &[], "").await;
    assert_eq!((again.status, again.header("etag")), (204, "W/\"3\""));
    assert_eq!(site.ask("DELETE Patient/never", &[], "").await.status, 204);
    site.ask("GET Patient/a", &[], "")
        .await
        .refused(410, "E-READ-3", "");
    site.ask("GET Patient/never", &[], "")
        .await
        .refused(404, "E-READ-1", "");
    let first = site.ask("GET Patient/a/_history/1", &[], "").await;
    first.ok(200);
    assert_eq!(first.text, text);
    site.ask("GET Patient/a/_history/9", &[], "")
        .await
        .refused(404, "E-READ-2", "");
    site.ask("GET Patient/a/_history/3", &[], "")
        .await
        .refused(410, "E-READ-3", "");
    site.ask("PUT Patient/a", &[], other).await.ok(201);
    assert_eq!(
        history(&site, "GET Patient/a/_history").await,
        "4 PUT 200; 3 DELETE 204; 2 PUT 200; 1 POST 201"
    );
    assert_eq!(site.page("GET Patient").await.0, ["a"]);
}

/// Versions, methods and statuses of a history, all pages.
async fn history(site: &Site, request: &str) -> String {
    let tree = site.ask(request, &[], "").await.ok(200);
    let lines = tree.items("entry").iter().map(|entry| {
        let etag = entry.str_at(&["response", "etag"]).unwrap();
        let method = entry.str_at(&["request", "method"]).unwrap();
        let status = entry.str_at(&["response", "status"]).unwrap();
        assert_eq!(entry.get("resource").is_none(), method == "DELETE");
        format!("{} {method} {status}", etag.trim_matches(['W', '/', '"']))
    });
    lines.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn bad_bodies_are_refused_by_name_and_nothing_is_stored() {
    let site = Site::new();
    let cases = [
        ("POST Patient", "", 400, "E-CONTENT-1", ""),
        ("POST Patient", "{", 400, "E-JSON-", ""),
        (
            "POST Patient",
            r#"{"resourceType":"Observation"}"#,
            400,
            "E-CONTENT-2",
            "resourceType",
        ),
        ("POST Patient", "{}", 400, "E-CONTENT-3", "resourceType"),
        (
            "PUT Patient/a",
            r#"{"resourceType":"Patient","id":"b"}"#,
            400,
            "E-CONTENT-4",
            "Patient.id",
        ),
        (
            "PUT Patient/a",
            r#"{"resourceType":"Patient"}"#,
            400,
            "E-CONTENT-4",
            "Patient.id",
        ),
    ];
    for (request, body, status, number, expression) in cases {
        let reply = site.ask(request, &[], body).await;
        assert_eq!(reply.status, status, "{request} {body}: {}", reply.text);
        assert!(reply.text.contains(number), "{}", reply.text);
        let tree = reply.tree();
        let found = tree
            .at(&["issue", "expression"])
            .and_then(Json::as_str)
            .unwrap_or("");
        assert_eq!(found, expression, "{}", reply.text);
    }
    let unknown = site
        .ask(
            "POST Patient",
            &[],
            r#"{"resourceType":"Patient","colour":"red"}"#,
        )
        .await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
    let review = r#"{"resourceType":"Task","status":"requested","intent":"order","code":{"coding":[{"code":"conflict-review"}]}}"#;
    site.ask("POST Task", &[], review)
        .await
        .refused(403, "E-WRITE-9", "Task.code");
    assert_eq!(site.page("GET Patient").await.0, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_conditional_creates_make_one_resource() {
    let site = std::sync::Arc::new(Site::new());
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let site = site.clone();
        asks.spawn(async move {
            let condition = "If-None-Exist: identifier=urn:mrn|1";
            let reply = site.ask("POST Patient", &[condition], &patient("1")).await;
            let id = reply.tree().id().unwrap_or_default().to_owned();
            (reply.status, id)
        });
    }
    let replies = asks.join_all().await;
    let count = |status| replies.iter().filter(|(s, _)| *s == status).count();
    assert_eq!((count(201), count(200)), (1, 63));
    assert!(replies.iter().all(|(_, id)| *id == replies[0].1));
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
    site.ask("POST Patient", &["If-None-Exist: _count=1"], &patient("1"))
        .await
        .refused(400, "E-COND-2", "");
    site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    site.ask(
        "POST Patient",
        &["If-None-Exist: identifier=urn:mrn|1"],
        &patient("1"),
    )
    .await
    .refused(412, "E-WRITE-3", "");
}

#[tokio::test]
async fn a_transaction_links_its_entries_both_ways() {
    let site = Site::new();
    let entries = [
        entry(
            "POST",
            "Observation",
            r#""fullUrl":"urn:uuid:2","#,
            &observation("urn:uuid:1", "urn:uuid:2"),
        ),
        entry(
            "POST",
            "Patient",
            r#""fullUrl":"urn:uuid:1","#,
            r#"{"resourceType":"Patient","link":[{"other":{"reference":"urn:uuid:1"},"type":"seealso"}]}"#,
        ),
        entry("GET", "Observation?code=x", "", ""),
    ];
    let tree = site.bundle("transaction", &entries).await.ok(200);
    assert_eq!(tree.str_at(&["type"]), Some("transaction-response"));
    let location = |index: usize| {
        let response = tree.items("entry")[index].get("response").unwrap();
        assert_eq!(response.str_at(&["status"]), Some("201 Created"));
        response
            .str_at(&["location"])
            .unwrap()
            .trim_end_matches("/_history/1")
            .to_owned()
    };
    let (observation, patient) = (location(0), location(1));
    let read = site
        .ask(&format!("GET {observation}"), &[], "")
        .await
        .ok(200);
    assert_eq!(
        read.str_at(&["subject", "reference"]),
        Some(patient.as_str())
    );
    assert_eq!(
        read.str_at(&["derivedFrom", "reference"]),
        Some(observation.as_str())
    );
    let value = read.at(&["valueQuantity", "value"]).unwrap().as_number();
    assert_eq!(value, Some("1.00"), "decimals are kept");
    let found = tree.items("entry")[2].get("resource").unwrap();
    assert_eq!(found.items("entry").len(), 1, "reads see what was written");
}

fn observation(subject: &str, derived_from: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"code":"x"}}]}},"subject":{{"reference":"{subject}"}},"derivedFrom":[{{"reference":"{derived_from}"}}],"valueQuantity":{{"value":1.00}}}}"#
    )
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let site = Site::new();
    let good = || entry("POST", "Patient", "", &patient("1"));
    let twin = |content: &str| entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", content);
    let cases: [(Vec<String>, u16, &str, &str); 9] = [
        (
            vec![
                good(),
                entry(
                    "PUT",
                    "Patient/x",
                    "",
                    r#"{"resourceType":"Patient","id":"y"}"#,
                ),
            ],
            400,
            "E-CONTENT-4",
            "Bundle.entry[1].resource.id",
        ),
        (
            vec![good(), entry("PATCH", "Patient/x", "", "")],
            422,
            "E-BUNDLE-5",
            "Bundle.entry[1].request.url",
        ),
        (
            vec![good(), entry("POST", "Patient", "", "")],
            400,
            "E-TX-2",
            "Bundle.entry[1]",
        ),
        (
            vec![
                good(),
                entry("DELETE", "Patient/x", "", ""),
                entry("DELETE", "Patient/x", "", ""),
            ],
            400,
            "E-TX-5",
            "Bundle.entry[2]",
        ),
        (
            vec![
                good(),
                entry(
                    "POST",
                    "Observation",
                    "",
                    &observation("Patient?identifier=urn:mrn|9", "#a"),
                ),
            ],
            412,
            "E-WRITE-4",
            "Bundle.entry[1]",
        ),
        (
            vec![twin(&patient("1")), twin(r#"{"resourceType":"Patient"}"#)],
            400,
            "E-TX-4",
            "Bundle.entry[1]",
        ),
        (
            vec![
                entry(
                    "POST",
                    "Patient",
                    r#""fullUrl":"urn:uuid:1","#,
                    &patient("1"),
                ),
                entry(
                    "POST",
                    "Patient",
                    r#""fullUrl":"urn:uuid:1","#,
                    &patient("2"),
                ),
            ],
            400,
            "E-TX-3",
            "Bundle.entry[1]",
        ),
        (
            vec![good(), r#"{"fullUrl":"urn:uuid:z"}"#.to_owned()],
            400,
            "E-BUNDLE-3",
            "Bundle.entry[1].request",
        ),
        (
            vec![good(), entry("POST", "/", "", "")],
            400,
            "E-TX-1",
            "Bundle.entry[1]",
        ),
    ];
    for (entries, status, number, expression) in cases {
        site.bundle("transaction", &entries)
            .await
            .refused(status, number, expression);
    }
    let stale = r#"{"resource":{"resourceType":"Patient","id":"x"},"request":{"method":"PUT","url":"Patient/x","ifMatch":"W/\"4\""}}"#;
    site.bundle("transaction", &[good(), stale.to_owned()])
        .await
        .refused(412, "E-WRITE-1", "Bundle.entry[1]");
    assert_eq!(
        site.page("GET Patient").await.0,
        [""; 0],
        "nothing was stored"
    );
}

#[tokio::test]
async fn conditional_entries_find_what_exists() {
    let site = Site::new();
    let known = site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    let known = format!("Patient/{}", known.id().unwrap());
    let twin = || entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", &patient("1"));
    let new = entry_if_none_exist("identifier=urn:mrn|2", "urn:uuid:b", &patient("2"));
    let by_url = entry(
        "POST",
        "Observation",
        "",
        &observation("urn:uuid:a", "Patient?identifier=urn:mrn%7C2"),
    );
    let tree = site
        .bundle("transaction", &[by_url, twin(), new, twin()])
        .await
        .ok(200);
    let status = |index: usize| {
        tree.items("entry")[index]
            .str_at(&["response", "status"])
            .unwrap()
    };
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["201 Created", "200 OK", "201 Created", "200 OK"]
    );
    let location = |index: usize| {
        let text = tree.items("entry")[index]
            .str_at(&["response", "location"])
            .unwrap();
        text.split_once("/_history").unwrap().0.to_owned()
    };
    assert_eq!((location(1), location(3)), (known.clone(), known.clone()));
    let read = site
        .ask(&format!("GET {}", location(0)), &[], "")
        .await
        .ok(200);
    assert_eq!(read.str_at(&["subject", "reference"]), Some(known.as_str()));
    assert_eq!(
        read.str_at(&["derivedFrom", "reference"]),
        Some(location(2).as_str()),
        "made in the same transaction"
    );
    assert_eq!(site.page("GET Patient").await.0.len(), 2);
}

/// Many devices send one new patient, each with an observation: all must end at the same patient.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_transactions_meet_at_one_resource() {
    let site = std::sync::Arc::new(Site::new());
    let mut asks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let site = site.clone();
        asks.spawn(async move {
            let twin = entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", &patient("1"));
            let conditional = "Patient?identifier=urn:mrn|1";
            let reference = if number % 2 == 0 {
                "urn:uuid:a"
            } else {
                conditional
            };
            let observation = entry("POST", "Observation", "", &observation(reference, "#x"));
            site.bundle("transaction", &[observation, twin])
                .await
                .status
        });
    }
    assert_eq!(asks.join_all().await, [200; 12]);
    let patients = site.page("GET Patient").await.0;
    assert_eq!(patients.len(), 1);
    let request = format!("GET Observation?subject=Patient/{}", patients[0]);
    assert_eq!(site.page(&request).await.0.len(), 12);
}

#[tokio::test]
async fn searching_tells_what_it_used() {
    let site = Site::new();
    let request = "GET Patient?active=true&nonsense=1&_pretty=true";
    let tree = site.ask(request, &[], "").await.ok(200);
    let link = tree.str_at(&["link", "url"]).unwrap();
    assert!(
        link.contains("active=true") && !link.contains("nonsense"),
        "{link}"
    );
    let strict = site.ask(request, &["Prefer: handling=strict"], "").await;
    assert_eq!(strict.status, 400, "{}", strict.text);
    let bad = site.ask("GET Patient?birthdate=yesterday", &[], "").await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    let posted = site
        .ask("POST Patient/_search?active=true", &[], "")
        .await
        .ok(200);
    assert_eq!(posted.str_at(&["type"]), Some("searchset"));
}

#[tokio::test]
async fn a_batch_isolates_what_fails() {
    let site = Site::new();
    let entries = [
        entry(
            "PUT",
            "Patient/a",
            "",
            r#"{"resourceType":"Patient","id":"a"}"#,
        ),
        entry(
            "PUT",
            "Patient/b",
            "",
            r#"{"resourceType":"Patient","id":"c"}"#,
        ),
        entry("GET", "Patient/a", "", ""),
        entry("POST", "/", "", ""),
        entry("GET", "Patient/zz", "", ""),
    ];
    let tree = site.bundle("batch", &entries).await.ok(200);
    let status = |entry: &Json| entry.str_at(&["response", "status"]).unwrap().to_owned();
    let statuses: Vec<_> = tree.items("entry").iter().map(status).collect();
    let expected = [
        "201 Created",
        "400 Bad Request",
        "200 OK",
        "400 Bad Request",
        "404 Not Found",
    ];
    assert_eq!(statuses, expected);
    let expression = tree.items("entry")[1].str_at(&["response", "outcome", "issue", "expression"]);
    assert_eq!(expression, Some("Bundle.entry[1].resource.id"));
    assert_eq!(
        tree.items("entry")[2].str_at(&["resource", "id"]),
        Some("a")
    );
}

#[tokio::test]
async fn pages_tile_the_answer() {
    let site = Site::new();
    let mut ids = Vec::new();
    for number in 0..25 {
        let id = format!("p{number:02}");
        let family = ["Abe", "Baraka", "Chipo"][number % 3];
        let body = format!(
            r#"{{"resourceType":"Patient","id":"{id}","active":{},"name":[{{"family":"{family}"}}]}}"#,
            number % 2 == 0
        );
        site.ask(&format!("PUT Patient/{id}"), &[], &body)
            .await
            .ok(201);
        ids.push(id);
    }
    for (request, expected) in [
        ("GET Patient?_count=7", 25),
        ("GET Patient?_count=25", 25),
        ("GET Patient?_count=7&_sort=family", 25),
        ("GET Patient?_count=7&_sort=-family", 25),
        ("GET Patient?_count=4&active=true&_sort=family", 13),
        ("GET Patient?_count=4&family=abe,chipo", 17),
        ("GET Patient?_count=4&family=nobody", 0),
    ] {
        let pages = site.pages(request).await;
        let mut all = pages.concat();
        assert!(
            pages.len() == 1 || pages.iter().all(|page| !page.is_empty()),
            "{request}: {pages:?}"
        );
        all.sort();
        all.dedup();
        assert_eq!(
            (all.len(), pages.concat().len()),
            (expected, expected),
            "{request}"
        );
    }
    let sorted = site
        .pages("GET Patient?_count=7&_sort=family")
        .await
        .concat();
    let family = |id: &String| id.trim_start_matches('p').parse::<usize>().unwrap() % 3;
    assert!(sorted.is_sorted_by_key(family), "{sorted:?}");
    let count = site
        .ask("GET Patient?_summary=count", &[], "")
        .await
        .ok(200);
    assert_eq!(count.get("total").unwrap().as_number(), Some("25"));
    assert_eq!(count.items("entry").len(), 0);
    let (_, next) = site.page("GET Patient?_count=7").await;
    let damaged = next.unwrap().replace("_after=", "_after=A");
    site.ask(&damaged, &[], "")
        .await
        .refused(400, "E-LINK-1", "");
}

/// What a client that asks for "everything since" relies on.
#[tokio::test]
async fn the_time_of_a_change_is_searchable() {
    let site = Site::new();
    let put = async |id: &str, active: bool| {
        let body = format!(r#"{{"resourceType":"Patient","id":"{id}","active":{active}}}"#);
        let reply = site.ask(&format!("PUT Patient/{id}"), &[], &body).await;
        site.clock.advance(Duration::from_secs(1));
        let tree = reply.tree();
        tree.str_at(&["meta", "lastUpdated"]).unwrap().to_owned()
    };
    put("a", true).await;
    let second = put("b", true).await;
    put("a", false).await;
    let since = format!("GET Patient?_lastUpdated=gt{second}&_sort=_lastUpdated");
    for (request, expected) in [
        ("GET Patient?_sort=_lastUpdated", vec!["b", "a"]),
        ("GET Patient?_sort=-_lastUpdated", vec!["a", "b"]),
        (since.as_str(), vec!["a"]),
        ("GET Patient?_lastUpdated=gt2100", vec![]),
        ("GET Patient?active=true", vec!["b"]),
        ("GET Patient?_id=a,b&active=false", vec!["a"]),
    ] {
        assert_eq!(site.page(request).await.0, expected, "{request}");
    }
    let first = site
        .ask("GET Patient/a/_history?_count=1", &[], "")
        .await
        .ok(200);
    assert_eq!(first.items("entry").len(), 1);
    let next = &first.items("link")[1];
    assert!(
        next.str_at(&["url"])
            .unwrap()
            .ends_with("/Patient/a/_history?_count=1&_before=2")
    );
    let rest = site
        .ask("GET Patient/a/_history?_count=1&_before=2", &[], "")
        .await
        .ok(200);
    assert_eq!(
        (rest.items("entry").len(), rest.items("link").len()),
        (1, 1)
    );
}

#[tokio::test]
async fn includes_come_beside_the_matches() {
    let site = Site::new();
    site.ask(
        "PUT Patient/a",
        &[],
        r#"{"resourceType":"Patient","id":"a"}"#,
    )
    .await
    .ok(201);
    for _ in 0..2 {
        site.ask("POST Observation", &[], &observation("Patient/a", "#x"))
            .await
            .ok(201);
    }
    let tree = site
        .ask("GET Observation?_include=Observation:subject", &[], "")
        .await
        .ok(200);
    let modes: Vec<_> = tree
        .items("entry")
        .iter()
        .map(|e| e.str_at(&["search", "mode"]).unwrap())
        .collect();
    assert_eq!(modes, ["match", "match", "include"]);
    assert_eq!(tree.get("total").unwrap().as_number(), Some("2"));
    assert_eq!(
        tree.items("entry")[2].str_at(&["fullUrl"]),
        Some("http://127.0.0.1:8080/fhir/Patient/a")
    );
}

#[tokio::test]
async fn the_capability_statement_is_sound() {
    let site = Site::new();
    let reply = site.ask("GET metadata", &[], "").await;
    let tree = reply.ok(200);
    let issues = fhir_mapping::validate::structure(&tree);
    assert_eq!(issues, []);
    let rest = &tree.items("rest")[0];
    let patient = rest
        .items("resource")
        .iter()
        .find(|row| row.str_at(&["type"]) == Some("Patient"));
    let names: Vec<_> = patient
        .unwrap()
        .items("searchParam")
        .iter()
        .map(|p| p.str_at(&["name"]).unwrap())
        .collect();
    for name in ["identifier", "family", "birthdate", "_id"] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_synthea_bundle_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/synthea");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return;
    };
    let site = Site::new();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut by_type = std::collections::BTreeMap::new();
    for path in paths {
        let mut text = String::new();
        let mut file = bzip2::read::MultiBzDecoder::new(std::fs::File::open(&path).unwrap());
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        let reply = site.ask("POST ", &[], &text).await;
        assert_eq!(reply.status, 200, "{}: {:.600}", path.display(), reply.text);
        for entry in reply.tree().items("entry") {
            assert_eq!(entry.str_at(&["response", "status"]), Some("201 Created"));
            let location = entry.str_at(&["response", "location"]).unwrap();
            let resource_type = location.split_once('/').unwrap().0.to_owned();
            *by_type.entry(resource_type).or_insert(0_u64) += 1;
        }
    }
    for (resource_type, count) in by_type {
        let request = format!("GET {resource_type}?_summary=count");
        let reply = site.ask(&request, &[], "").await;
        assert_eq!(reply.status, 200, "{request}");
        let tree = reply.ok(200);
        assert_eq!(
            tree.get("total").unwrap().as_number(),
            Some(count.to_string().as_str()),
            "{resource_type}"
        );
    }
}
