//! Over the wire: what is sent comes back, as JSON and as XML, packed or not; bytes stay bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // answers of our own server may be read whole

use bytes::Bytes;
use examples::wayside::Wayside;
use fhir_mapping::model::{self, Json, Limits, Object};
use fhir_mapping::validate::structure;
use fhir_mapping::xml;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

const JSON: (&str, &str) = ("content-type", "application/fhir+json");
const XML: (&str, &str) = ("content-type", "application/fhir+xml");
const AS_XML: (&str, &str) = ("accept", "application/fhir+xml");

struct Site {
    base: String,
    /// Killed when dropped.
    _wayside: Mutex<Wayside>,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: tempfile::TempDir,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Site {
    fn start() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_wayside"));
        let data = folder.path().join("data");
        let wayside = Wayside::start(binary, &data, &[], Stdio::null()).unwrap();
        Site {
            base: wayside.base.clone(),
            _wayside: Mutex::new(wayside),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _folder: folder,
        }
    }

    /// `request` is `GET Patient/a`.
    async fn ask(&self, request: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let (method, path) = request.split_once(' ').unwrap();
        let url = format!("{}/{path}", self.base);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let reply = self.client.request(request).await.unwrap();
        let (head, body) = reply.into_parts();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The resource, by the type that the answer has.
    #[track_caller]
    fn tree(&self) -> Json {
        let text = String::from_utf8_lossy(&self.body);
        let parsed = match self.header("content-type") {
            "application/fhir+xml; charset=utf-8" => xml::parse(&self.body, limits()),
            "application/fhir+json; charset=utf-8" => model::parse(&self.body, limits()),
            other => panic!("{} {other:?}: {text}", self.status),
        };
        parsed.unwrap_or_else(|issue| panic!("{issue:?}: {text}"))
    }
}

fn limits() -> Limits {
    Limits {
        depth_max: 200,
        ..Limits::default()
    }
}

fn json(text: &str) -> Json {
    model::parse(text.as_bytes(), limits()).unwrap()
}

/// Without what the server sets, members in one order: that of JSON objects means nothing.
fn content(resource: &Json) -> Json {
    let mut resource = resource.clone();
    if let Some(object) = resource.as_object_mut()
        && let Some(meta) = object.get_mut("meta").and_then(Json::as_object_mut)
    {
        meta.remove("versionId");
        meta.remove("lastUpdated");
        if meta.is_empty() {
            object.remove("meta");
        }
    }
    ordered(&resource)
}

fn ordered(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(ordered).collect()),
        Json::Object(object) => {
            let pairs = object.iter();
            let mut pairs: Vec<_> = pairs.map(|(k, v)| (k.to_owned(), ordered(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(pairs.into_iter().collect::<Object>())
        }
        scalar => scalar.clone(),
    }
}

/// Sends it in both forms, reads it in both forms.
async fn check_comes_back(site: &Site, resource: &Json) {
    let (kind, id) = (resource.resource_type().unwrap(), resource.id().unwrap());
    let (put, get) = (format!("PUT {kind}/{id}"), format!("GET {kind}/{id}"));
    let accept = ("accept", "application/fhir+json");
    let expected = content(resource);
    let forms = [
        (JSON, model::format(resource)),
        (XML, xml::format(resource).unwrap()),
    ];
    for (content_type, text) in forms {
        let put = site.ask(&put, &[content_type], text).await;
        let said = String::from_utf8_lossy(&put.body);
        assert!(matches!(put.status, 200 | 201), "{kind}/{id}: {said}");
        for accept in [accept, AS_XML] {
            let got = site.ask(&get, &[accept], "").await;
            assert_eq!(got.status, 200);
            let got = content(&got.tree());
            assert!(got == expected, "{kind}/{id}: {}", model::format(&got));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_examples_come_back_in_both_forms() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return;
    };
    let site = Arc::new(Site::start());
    let mut running = JoinSet::new();
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut resource = json(&text);
        let is_stored = !matches!(
            resource.resource_type(),
            Some("Parameters" | "OperationOutcome")
        );
        // Validation's own test lists the few that break R4's rules, and why.
        let is_sound = structure(&resource).is_empty();
        if !is_stored || !is_sound {
            continue;
        }
        seen += 1;
        // Many of them share an id.
        let id = format!("example-{seen}");
        resource.as_object_mut().unwrap().set_at(1, "id", id.into());
        let site = Arc::clone(&site);
        running.spawn(async move { check_comes_back(&site, &resource).await });
        if running.len() >= 8 {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert!(seen > 520, "{seen} examples");
}

#[tokio::test]
async fn every_character_and_digit_comes_back() {
    let site = Site::start();
    let resource = json(
        r##"{"resourceType":"Observation","id":"o","extension":[{"url":"urn:x","valueDecimal":1.00}],
        "contained":[{"resourceType":"Patient","id":"p","_birthDate":{"extension":[{"url":"urn:y","valueCode":"unknown"}]},
          "name":[{"given":[null,"Zoë","e\u0301","\ud83e\uddec","שלום","مرحبا\u200f","a\tb\r\nc","<&>\"'"],"_given":[{"id":"g"},null,null,null,null,null,null,null]}]}],
        "status":"final","code":{"text":" two  blanks "},"subject":{"reference":"#p"},
        "effectiveDateTime":"2020","issued":"2020-02-29T23:59:59.1200+05:30",
        "component":[{"code":{"text":"a"},"valueQuantity":{"value":0.10E-7}},{"code":{"text":"b"},"valueQuantity":{"value":-0.00}},
          {"code":{"text":"c"},"valueQuantity":{"value":123456789012345678901234567890.123456789}}]}"##,
    );
    check_comes_back(&site, &resource).await;
}

#[tokio::test]
async fn answers_and_refusals_come_as_asked() {
    let site = Site::start();
    let patient = "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"a\"/><active value=\"true\"/></Patient>";
    let put = site.ask("PUT Patient/a", &[XML, AS_XML], patient).await;
    assert_eq!((put.status, put.header("etag")), (201, "W/\"1\""));
    assert_eq!(put.tree().get("active"), Some(&Json::Bool(true)));
    let metadata = site
        .ask("GET metadata?_format=xml&_pretty=true", &[], "")
        .await;
    assert!(
        metadata
            .body
            .starts_with(b"<CapabilityStatement xmlns=\"http://hl7.org/fhir\">\n  <")
    );
    let formats: Vec<_> = metadata.tree().items("format").to_vec();
    for format in formats {
        let format = format.as_str().unwrap().replace('+', "%2B");
        let got = site
            .ask(&format!("GET Patient/a?_format={format}"), &[], "")
            .await;
        assert_eq!((got.status, got.tree().id()), (200, Some("a")), "{format}");
        assert!(got.header("vary").starts_with("Accept"));
    }
    let found = site.ask("GET Patient?_format=text/xml", &[], "").await;
    assert_eq!(found.header("content-type"), "text/xml; charset=utf-8");
    for (request, body, status) in [
        ("GET Patient/b", "", 404),
        ("GET Pet/b", "", 404),
        (
            "PUT Patient/a",
            "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"a\"/><actve value=\"1\"/></Patient>",
            400,
        ),
        (
            "PUT Patient/a",
            "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"a\"/><active value=\"1\"/></Patient>",
            422,
        ),
        (
            "PUT Patient/a",
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><Patient/>",
            400,
        ),
    ] {
        let refused = site.ask(request, &[XML, AS_XML], body).await;
        assert_eq!(refused.status, status, "{request}");
        assert_eq!(refused.tree().resource_type(), Some("OperationOutcome"));
    }
    let other = site
        .ask("GET Patient/a", &[("accept", "image/png")], "")
        .await;
    assert_eq!(
        (other.status, other.tree().resource_type()),
        (406, Some("OperationOutcome"))
    );
    let other = site
        .ask("POST Patient", &[("content-type", "text/csv")], "a")
        .await;
    assert_eq!(other.status, 415);
}

#[tokio::test]
async fn a_transaction_in_xml_is_one_in_json() {
    let site = Site::start();
    let bundle = "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"transaction\"/><entry><resource><Patient><id value=\"a\"/></Patient></resource><request><method value=\"PUT\"/><url value=\"Patient/a\"/></request></entry></Bundle>";
    let done = site.ask("POST ", &[XML, AS_XML], bundle).await;
    let text = String::from_utf8_lossy(&done.body).into_owned();
    assert_eq!(done.status, 200, "{text}");
    assert!(text.contains("<status value=\"201 Created\"/>"), "{text}");
}

#[tokio::test]
async fn bodies_are_packed_both_ways() {
    let site = Site::start();
    let note = "the same again ".repeat(500);
    let patient = format!(
        r#"{{"resourceType":"Patient","id":"a","name":[{{"text":"{}"}}]}}"#,
        note.trim()
    );
    let packed = zstd::encode_all(patient.as_bytes(), 1).unwrap();
    let headers = [JSON, ("content-encoding", "zstd")];
    assert_eq!(
        site.ask("PUT Patient/a", &headers, packed).await.status,
        201
    );
    for coding in ["gzip", "zstd"] {
        let got = site
            .ask("GET Patient/a", &[("accept-encoding", coding)], "")
            .await;
        assert_eq!(got.header("content-encoding"), coding);
        assert_eq!(got.headers.get_all("vary").iter().count(), 2);
        let mut plain = Vec::new();
        match coding {
            "zstd" => plain = zstd::decode_all(&got.body[..]).unwrap(),
            _ => drop(
                std::io::Read::read_to_end(
                    &mut flate2::read::GzDecoder::new(&got.body[..]),
                    &mut plain,
                )
                .unwrap(),
            ),
        }
        let got = model::parse(&plain, limits()).unwrap();
        assert_eq!(content(&got), content(&json(&patient)));
    }
    let bomb = zstd::encode_all(&vec![b' '; 200 << 20][..], 1).unwrap();
    let refused = site.ask("PUT Patient/a", &headers, bomb).await;
    assert_eq!(refused.status, 413);
}

#[tokio::test]
async fn a_binary_is_bytes_and_a_resource() {
    let site = Site::start();
    let image = b"\x89PNG\r\n\x1a\n\x00\xff".to_vec();
    let put = [
        ("content-type", "image/png"),
        ("x-security-context", "Patient/a"),
    ];
    let put = site.ask("PUT Binary/b", &put, image.clone()).await;
    assert_eq!(put.status, 201);
    let resource = site.ask("GET Binary/b", &[AS_XML], "").await.tree();
    assert_eq!(
        resource.get("contentType").unwrap().as_str(),
        Some("image/png")
    );
    assert_eq!(
        resource.get("data").unwrap().as_str(),
        Some("iVBORw0KGgoA/w==")
    );
    assert_eq!(
        resource.str_at(&["securityContext", "reference"]),
        Some("Patient/a")
    );
    for accept in [
        "*/*",
        "image/*",
        "image/png, */*;q=0.1",
        "text/html, */*;q=0.8",
    ] {
        let raw = site.ask("GET Binary/b", &[("accept", accept)], "").await;
        assert_eq!(
            (raw.status, raw.header("content-type")),
            (200, "image/png"),
            "{accept}"
        );
        assert_eq!(raw.body, image);
        assert_eq!(raw.header("x-security-context"), "Patient/a");
        assert!(raw.header("content-security-policy").starts_with("sandbox"));
        assert_eq!(raw.header("etag"), "W/\"1\"");
    }
    let raw = site.ask("GET Binary/b/_history/1", &[], "").await;
    assert_eq!(raw.body, image);
    assert_eq!(
        site.ask("GET Binary/b?_format=json", &[], "")
            .await
            .tree()
            .id(),
        Some("b")
    );
    let generic = site
        .ask("GET Binary/b", &[("accept", "application/json")], "")
        .await;
    assert_eq!(
        generic.header("content-type"),
        "application/json; charset=utf-8"
    );
    let refused = site
        .ask("GET Binary/b", &[("accept", "application/pdf")], "")
        .await;
    assert_eq!(refused.status, 406);
    assert_eq!(
        site.ask("GET Binary/c", &[("accept", "image/png")], "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn what_is_posted_to_binary_is_taken_as_it_is() {
    let site = Site::start();
    let check = async |content_type: &str, body: &str, expected: &str| {
        let posted = site
            .ask(
                "POST Binary",
                &[("content-type", content_type)],
                body.to_owned(),
            )
            .await;
        assert_eq!(posted.status, 201);
        let location = posted.header("location").to_owned();
        let path = location.split("/fhir/").nth(1).unwrap().to_owned();
        let raw = site
            .ask(&format!("GET {path}"), &[("accept", "*/*")], "")
            .await;
        assert_eq!(raw.header("content-type"), expected);
        raw.body
    };
    let text = check(
        "text/plain; charset=latin1",
        "caf",
        "text/plain; charset=latin1",
    )
    .await;
    assert_eq!(text, "caf");
    let patient = r#"{"resourceType":"Patient"}"#;
    assert_eq!(
        check("application/fhir+json", patient, "application/fhir+json").await,
        patient
    );
    assert_eq!(
        check("application/json", "[1.0]", "application/json").await,
        "[1.0]"
    );
    let resource = r#"{"resourceType":"Binary","contentType":"text/plain","data":"Y2Fm"}"#;
    assert_eq!(
        check("application/fhir+json", resource, "text/plain").await,
        "caf"
    );
    let xml = r#"<Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="Y2Fm"/></Binary>"#;
    assert_eq!(
        check("application/fhir+xml", xml, "text/plain").await,
        "caf"
    );
    let broken = site.ask("POST Binary", &[JSON], "{").await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn what_a_write_returns_is_as_preferred() {
    let site = Site::start();
    let check = async |prefer: &str, expected: Option<&str>| {
        let headers = [JSON, ("prefer", prefer)];
        let posted = site
            .ask("POST Patient", &headers, r#"{"resourceType":"Patient"}"#)
            .await;
        assert_eq!(posted.status, 201);
        assert_eq!(posted.header("preference-applied"), prefer);
        assert_eq!(posted.header("etag"), "W/\"1\"");
        assert!(posted.header("last-modified").ends_with(" GMT"));
        assert!(posted.header("location").ends_with("/_history/1"));
        match expected {
            None => assert!(posted.body.is_empty()),
            expected => assert_eq!(posted.tree().resource_type(), expected),
        }
    };
    check("return=minimal", None).await;
    check("return=representation", Some("Patient")).await;
    check("return=OperationOutcome", Some("OperationOutcome")).await;
}
