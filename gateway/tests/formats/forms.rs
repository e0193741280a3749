//! Forms of answers and bodies: types, compression, Binary's bytes, what a write returns.

use crate::wire::{AS_XML, JSON, Site, XML, content, json, limits};
use fhir_mapping::model::{self, Json};
use std::io::{Read, Write as _};

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
    for coding in ["gzip", "br", "zstd"] {
        let got = site
            .ask("GET Patient/a", &[("accept-encoding", coding)], "")
            .await;
        assert_eq!(got.header("content-encoding"), coding);
        assert_eq!(got.headers.get_all("vary").iter().count(), 2);
        let packed = &got.body[..];
        let mut reader: Box<dyn Read + '_> = match coding {
            "zstd" => Box::new(zstd::Decoder::new(packed).unwrap()),
            "br" => Box::new(brotli::Decompressor::new(packed, 4096)),
            _ => Box::new(flate2::read::GzDecoder::new(packed)),
        };
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).unwrap();
        let got = model::parse(&plain, limits()).unwrap();
        assert_eq!(content(&got), content(&json(&patient)));
    }
    let mut packed = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
    packed.write_all(patient.as_bytes()).unwrap();
    let brotli = [JSON, ("content-encoding", "br")];
    let put = site
        .ask("PUT Patient/a", &brotli, packed.into_inner())
        .await;
    assert_eq!(put.status, 200);
    let other = [JSON, ("content-encoding", "compress")];
    let refused = site.ask("PUT Patient/a", &other, patient.clone()).await;
    assert_eq!(refused.status, 415);
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
