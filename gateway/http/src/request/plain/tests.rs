#![allow(clippy::disallowed_methods)] // our own answer may be read whole

use super::*;
use fhir_mapping::model::{Limits, parse};
use gateway_ground::clock::Clock;
use gateway_repository::{Actor, Transaction, Write, fresh};
use http_body_util::{BodyExt as _, Empty};
use store::{Origin, OriginKind};

#[track_caller]
fn check(method: &str, uri: &str, headers: &[(&str, &str)], expected: Option<(&str, &str)>) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let asked = Asked::of(&request).map(|asked| (asked.resource_type, asked.id));
    assert_eq!(asked, expected, "{method} {uri} {headers:?}");
}

#[test]
fn only_a_read_without_wishes_is_plain() {
    let amina = Some(("Patient", "amina"));
    check("GET", "/fhir/Patient/amina", &[], amina);
    check("GET", "/fhir/Patient/amina", &[("accept", "*/*")], amina);
    let json = ("accept", "application/fhir+json");
    check("GET", "/fhir/Patient/amina", &[json], amina);
    check("HEAD", "/fhir/Patient/amina", &[], None);
    check("DELETE", "/fhir/Patient/amina", &[], None);
    check("GET", "/fhir/Patient/amina?_format=xml", &[], None);
    check("GET", "/fhir/Patient/amina/_history/1", &[], None);
    check("GET", "/fhir/Patient/", &[], None);
    check("GET", "/fhir/Patient", &[], None);
    check("GET", "/fhir/Patience/amina", &[], None);
    check("GET", "/fhir/Patient/a%20b", &[], None);
    check("GET", "/fhir/Binary/amina", &[], None);
    check("GET", "/admin/Patient/amina", &[], None);
    let wishes = [
        ("accept", "application/fhir+xml"),
        ("accept", "application/fhir+json;fhirVersion=4.0"),
        ("if-none-match", "W/\"1\""),
        ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
    ];
    for wish in wishes {
        check("GET", "/fhir/Patient/amina", &[wish], None);
    }
}

/// Puts a Patient, or deletes it.
async fn write(repository: &Repository, id: &str, content: Option<&str>) {
    let key = ResourceKey {
        resource_type: "Patient".to_owned(),
        id: id.to_owned(),
    };
    let write = match content {
        None => Write::Delete {
            key,
            if_match: None,
        },
        Some(more) => {
            let text = format!(r#"{{"resourceType":"Patient","id":"{id}",{more}}}"#);
            Write::Update {
                id: id.to_owned(),
                resource: parse(text.as_bytes(), Limits::default()).unwrap(),
                if_match: None,
            }
        }
    };
    let transaction = Transaction {
        actor: Actor {
            name: "test".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        },
        writes: vec![write],
        rows: Vec::new(),
        resolve_conditional_references: false,
    };
    repository.write(transaction).await.unwrap();
}

/// The body, or the status of the refusal.
async fn read(ready: &Ready, repository: &Repository, id: &str) -> Result<String, u16> {
    let asked = Asked {
        resource_type: "Patient",
        id,
        coding: None,
    };
    match ready.give(repository, asked) {
        Ok(Given::Ready(reply)) => {
            let bytes = reply.into_body().collect().await.unwrap().to_bytes();
            Ok(String::from_utf8(bytes.to_vec()).unwrap())
        }
        Ok(Given::Large(answer)) => Ok(String::from_utf8(answer.body.to_vec()).unwrap()),
        Err(failure) => Err(failure.category.status()),
    }
}

/// A dose that was changed a moment ago must not be read as it was.
#[tokio::test]
async fn a_ready_answer_never_outlives_a_write() {
    let (repository, _folder) = fresh::repository(Clock::driven(1_700_000_000_000));
    let ready = Ready::default();
    assert_eq!(read(&ready, &repository, "a").await, Err(404));
    for round in 0..20 {
        let content = format!(r#""birthDate":"19{round:02}""#);
        write(&repository, "a", Some(&content)).await;
        write(&repository, "b", Some(&content)).await;
        for _ in 0..2 {
            for id in ["a", "b"] {
                let text = read(&ready, &repository, id).await.unwrap();
                assert!(text.contains(&content), "{text}");
            }
        }
    }
    write(&repository, "a", None).await;
    assert_eq!(read(&ready, &repository, "a").await, Err(410));
    assert!(read(&ready, &repository, "b").await.is_ok());
}

#[tokio::test]
async fn what_is_kept_stays_bounded() {
    let (repository, _folder) = fresh::repository(Clock::driven(1_700_000_000_000));
    let ready = Ready::default();
    let name = |length: usize| format!(r#""name":[{{"family":"{}"}}]"#, "x".repeat(length));
    for number in 0..300 {
        let id = format!("p{number}");
        write(&repository, &id, Some(&name(50_000))).await;
        assert!(read(&ready, &repository, &id).await.is_ok());
    }
    assert!(ready.kept.len() > 10, "answers are kept at all");
    assert!(ready.kept.weight() <= BYTES_MAX);
    let kept = ready.kept.len();
    write(&repository, "large", Some(&name(BODY_BYTES_MAX))).await;
    let text = read(&ready, &repository, "large").await.unwrap();
    assert!(text.len() > BODY_BYTES_MAX);
    assert_eq!(ready.kept.len(), kept);
}
