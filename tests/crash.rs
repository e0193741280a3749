//! A few kill -9 rounds on every change; the long campaign is the `kill-campaign` binary.
#![allow(clippy::print_stdout)] // the findings are worth reading in the log

use tests::kills::{Findings, run};

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
