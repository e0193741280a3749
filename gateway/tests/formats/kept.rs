//! Answers to plain reads are kept; none is ever older than the last write, however it is packed.

use crate::wire::{JSON, Site};

/// A dose that was changed a moment ago must not be read as it was.
#[tokio::test]
async fn a_read_shows_the_last_write() {
    let site = Site::start();
    let ways = [
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("accept-encoding", "zstd"),
    ];
    for round in 1..=30 {
        let version = format!("W/\"{round}\"");
        let pad = "x".repeat(2_000);
        let body = format!(
            r#"{{"resourceType":"Patient","id":"a","multipleBirthInteger":{round},"name":[{{"family":"{pad}"}}]}}"#
        );
        let written = site.ask("PUT Patient/a", &[JSON], body).await;
        assert_eq!(written.header("etag"), version, "{}", written.status);
        for way in ways.iter().chain(&ways) {
            let reply = site.ask("GET Patient/a", &[*way], "").await;
            assert_eq!(
                (reply.status, reply.header("etag")),
                (200, version.as_str())
            );
            let coding = reply.header("content-encoding");
            assert!(coding.is_empty() || coding == way.1, "{coding} for {way:?}");
        }
        let unchanged = site
            .ask("GET Patient/a", &[("if-none-match", &version)], "")
            .await;
        assert_eq!(unchanged.status, 304);
    }
    assert_eq!(site.ask("DELETE Patient/a", &[], "").await.status, 204);
    assert_eq!(site.ask("GET Patient/a", &[], "").await.status, 410);
    assert_eq!(site.ask("HEAD Patient/a", &[], "").await.status, 410);
}
