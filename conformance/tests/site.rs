//! The cases against the real binary, started on an empty folder.
#![allow(clippy::unwrap_used, clippy::expect_used)] // panics are a test's answers

use conformance::{case, runner, statement};
use examples::wayside::{Wayside, binary};
use std::path::Path;
use std::process::Stdio;

#[test]
fn every_case_holds_and_the_statement_claims_what_they_prove() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let site = Wayside::start(&binary().unwrap(), &data, &[], Stdio::null()).unwrap();
    let cases = case::read_all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))).unwrap();
    assert!(cases.len() > 20, "only {} cases were found", cases.len());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let verdicts = runtime.block_on(runner::run(&site.base, None, &cases));
    let mut failures: Vec<String> = verdicts
        .iter()
        .flat_map(|v| v.failures.iter().map(|f| format!("{}: {f}", v.case)))
        .collect();
    let metadata = runtime
        .block_on(runner::metadata(&site.base, None))
        .unwrap();
    failures.extend(statement::compare(&metadata, &verdicts));
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
