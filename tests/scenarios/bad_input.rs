//! Bad input on the wire: a clear refusal each, nothing stored, nobody else disturbed.
#![allow(clippy::unwrap_used)] // panics are a test's answers

use std::io::{Read, Write};
use std::time::Duration;
use tests::client::Connection;
use tests::site::Site;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"good","active":true}"#;

/// Body, expected status, and a text that the OperationOutcome must hold.
fn refusals() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wrong_type = r#"{"resourceType":"Patient","id":"bad","active":"yes"}"#;
    let unknown = r#"{"resourceType":"Patient","id":"bad","actve":true}"#;
    let twice = r#"{"resourceType":"Patient","id":"bad","active":true,"active":false}"#;
    vec![
        (
            "malformed JSON",
            b"{\"resourceType\":".to_vec(),
            400,
            "malformed JSON",
        ),
        ("not UTF-8", vec![b'"', 0xFF, b'"'], 400, "UTF-8"),
        ("wrong type", wrong_type.into(), 422, "Patient.active"),
        ("unknown element", unknown.into(), 422, "Patient.actve"),
        ("a key twice", twice.into(), 400, "twice"),
        ("100,000 levels", deep.into(), 400, "nested deeper"),
        ("60 MB", vec![b' '; 60 << 20], 413, "OperationOutcome"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_body_is_refused_with_its_reason_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let mut witness = Connection::open(site.http).await.unwrap();
    assert_eq!(
        witness
            .send("PUT", "/fhir/Patient/good", &[], PATIENT)
            .await
            .unwrap()
            .status,
        201
    );
    for (what, body, status, reason) in refusals() {
        let mut client = Connection::open(site.http).await.unwrap();
        let reply = client.send("PUT", "/fhir/Patient/bad", &[], body).await;
        let reply = reply.unwrap_or_else(|_| panic!("{what}: the connection was cut unanswered"));
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert!(
            reply.text().contains("OperationOutcome"),
            "{what}: {}",
            reply.text()
        );
        assert!(reply.text().contains(reason), "{what}: {}", reply.text());
        assert_eq!(
            witness.get("/fhir/Patient/bad").await.unwrap().status,
            404,
            "{what}"
        );
        assert_eq!(
            witness.get("/fhir/Patient/good").await.unwrap().status,
            200,
            "{what}"
        );
    }
    assert!(site.terminate());
}

#[test]
fn half_a_frame_and_junk_disturb_nobody_on_mllp() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let mut half = std::net::TcpStream::connect(site.mllp).unwrap();
    half.write_all(b"\x0bMSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5\rPID|1")
        .unwrap();
    let mut junk = std::net::TcpStream::connect(site.mllp).unwrap();
    junk.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    junk.write_all(b"GET / HTTP/1.1\r\n\r\n\x0bMSH|^~\\&|A|B|C|D|20260101||ORU^R01|42|P|2.5\rPID|1||7^^^X\r\x1c\r")
        .unwrap();
    let mut answer = [0u8; 512];
    let length = junk.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with('\u{b}'), "framed: {answer:?}");
    assert!(
        answer.contains("MSA|AA|42"),
        "stored and acknowledged: {answer:?}"
    );
}
