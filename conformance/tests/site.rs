//! The cases against the real binary, started on an empty folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test's answers

use conformance::runner::{Outcome, Runner, Verdict};
use conformance::{case, generated};
use examples::wayside::{Wayside, binary};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

/// Cases written by hand, whatever the statement claims.
const CASES_MIN: usize = 740;

/// Fewer passed cases mean that a claim has gone.
const PASSED_MIN: usize = 540;

#[test]
fn every_applicable_case_passes() {
    let themes = case::read_all(Path::new(CASES)).unwrap();
    let cases: usize = themes.iter().map(|theme| theme.cases.len()).sum();
    assert!(cases >= CASES_MIN, "only {cases} cases were found");
    let (verdicts, _) = run(themes);
    let known = known_failures();
    let mut findings = Vec::new();
    for verdict in &verdicts {
        match &verdict.outcome {
            Outcome::Failed(why) if !known.contains_key(&verdict.case) => {
                findings.push(format!("{}: {}", verdict.case, why.join("; ")));
            }
            Outcome::Passed if known.contains_key(&verdict.case) => {
                findings.push(format!("{}: passes, but is a known failure", verdict.case));
            }
            _ => {}
        }
    }
    let names: BTreeSet<&str> = verdicts.iter().map(|v| v.case.as_str()).collect();
    let strangers = known.keys().filter(|name| !names.contains(name.as_str()));
    findings.extend(strangers.map(|name| format!("{name}: is known to fail, but is no case")));
    let passed = verdicts
        .iter()
        .filter(|v| v.outcome == Outcome::Passed)
        .count();
    println!("{passed} of {} cases passed", verdicts.len());
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    assert!(passed >= PASSED_MIN, "only {passed} cases passed");
}

/// The verdicts, and the runner with what the gateway claims.
fn run(mut themes: Vec<case::Theme>) -> (Vec<Verdict>, Runner) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let site = Wayside::start(&binary().unwrap(), &data, &[], Stdio::null()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let runner = runtime.block_on(Runner::new(&site.base, None)).unwrap();
    themes.extend(generated::themes(&runner.claims));
    let mut verdicts = Vec::new();
    for (number, theme) in themes.iter().enumerate() {
        verdicts.extend(runtime.block_on(runner.run(theme, number)));
    }
    (verdicts, runner)
}

/// Reasons by case.
fn known_failures() -> BTreeMap<String, String> {
    let text = include_str!("known_failures.txt");
    let lines = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let pair = |line: &str| {
        let (case, reason) = line.split_once(" | ").expect("case | reason");
        assert!(!reason.is_empty(), "{case} has no reason");
        (case.to_owned(), reason.to_owned())
    };
    lines.map(pair).collect()
}
