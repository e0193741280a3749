//! A few kill -9 rounds on every change; the long campaign is the `kill-campaign` binary.
#![allow(clippy::print_stdout)] // the findings are worth reading in the log
#![allow(clippy::expect_used)] // panics are a test's answers

use tests::client::Connection;
use tests::kills::{Findings, run};
use tests::site::Site;

const BASIC: &str = r#"{"resourceType":"Basic","id":"a","code":{"text":"a"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_ends_with_a_store_that_is_read_and_not_written() {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let data = folder.path().join("data");
    for round in 0..10 {
        let site = Site::start(&data, &[]);
        if round == 0 {
            assert_eq!(put(&site).await.0, 201);
        }
        site.kill();
    }
    let site = Site::start(&data, &[]);
    let (status, text) = put(&site).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("E-STORE-11"), "{text}");
    assert_eq!(get(&site, "/fhir/Basic/a").await.0, 200);
    let (status, text) = get(&site, "/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("--leave-read-only"), "{text}");
    site.kill();
    let site = Site::start(&data, &["--leave-read-only"]);
    assert_eq!(get(&site, "/readyz").await.0, 200);
    assert_eq!(put(&site).await.0, 200);
    assert!(site.terminate());
}

async fn put(site: &Site) -> (u16, String) {
    let mut connection = Connection::open(site.http).await.expect("it listens");
    let sent = connection.send("PUT", "/fhir/Basic/a", &[], BASIC.to_owned());
    let reply = sent.await.expect("an answer");
    (reply.status, reply.text().to_owned())
}

async fn get(site: &Site, path: &str) -> (u16, String) {
    let mut connection = Connection::open(site.http).await.expect("it listens");
    let reply = connection.get(path).await.expect("an answer");
    (reply.status, reply.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let findings = run(8, 7, &folder.path().join("data"), |line| println!("{line}")).await;
    let clean = Findings {
        rounds: 8,
        acknowledged: findings.acknowledged,
        ..Findings::default()
    };
    assert_eq!(findings, clean);
    assert!(
        findings.acknowledged > 100,
        "the writers did write: {findings:?}"
    );
}
