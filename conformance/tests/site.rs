//! The cases against the real binary, started on an empty folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test's answers

use conformance::claims::Claims;
use conformance::runner::{Access, Outcome, Runner, Verdict};
use conformance::{case, generated};
use examples::wayside::{Wayside, binary};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

/// Cases written by hand, whatever the statement claims.
const CASES_MIN: usize = 750;

/// Fewer passed cases mean that a claim has gone.
const PASSED_MIN: usize = 3500;

#[test]
fn every_applicable_case_passes() {
    let themes = case::read_all(Path::new(CASES)).unwrap();
    let cases: usize = themes.iter().map(|theme| theme.cases.len()).sum();
    assert!(cases >= CASES_MIN, "only {cases} cases were found");
    let (verdicts, claims) = run(themes);
    let known = known_failures();
    let mut findings = Vec::new();
    for verdict in &verdicts {
        match &verdict.outcome {
            Outcome::Failed(why) if !known.contains_key(&verdict.case) => {
                findings.push(format!("{}: {}", verdict.case, why.join("; ")));
            }
            // A stranger may decline; what is ours is meant to do all of it.
            Outcome::Declined(why) => findings.push(format!("{}: declined: {why}", verdict.case)),
            Outcome::Passed if known.contains_key(&verdict.case) => {
                findings.push(format!("{}: passes, but is a known failure", verdict.case));
            }
            _ => {}
        }
    }
    let names: BTreeSet<&str> = verdicts.iter().map(|v| v.case.as_str()).collect();
    let strangers = known.keys().filter(|name| !names.contains(name.as_str()));
    findings.extend(strangers.map(|name| format!("{name}: is known to fail, but is no case")));
    let unused = unused(&claims, &verdicts).into_iter();
    findings.extend(unused.map(|claim| format!("{claim}: is claimed, but no passed case uses it")));
    let passed = verdicts
        .iter()
        .filter(|v| v.outcome == Outcome::Passed)
        .count();
    println!("{passed} of {} cases passed", verdicts.len());
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    assert!(passed >= PASSED_MIN, "only {passed} cases passed");
}

/// Not of FHIR: the gateway's own. One needs two sites in conflict, the other takes data away; the
/// gateway's tests use them.
const OWN_OPERATIONS: [&str; 2] = ["resolve", "purge"];

/// Claims that no request of a passed case used. Formats are used by whole capabilities.
fn unused(claims: &Claims, verdicts: &[Verdict]) -> Vec<String> {
    let passed = verdicts.iter().filter(|v| v.outcome == Outcome::Passed);
    let used: BTreeSet<&str> = passed
        .clone()
        .flat_map(|v| v.needs.iter().map(String::as_str))
        .collect();
    let capabilities: BTreeSet<&str> = passed.map(|v| v.capability.as_str()).collect();
    let operations: BTreeSet<&str> = used
        .iter()
        .filter_map(|need| need.split_once('$'))
        .map(|(_, name)| name)
        .collect();
    let is_used = |claim: &str| match claim.split_once('$') {
        // An operation of all types is one operation.
        Some((_, operation)) => {
            OWN_OPERATIONS.contains(&operation) || operations.contains(operation)
        }
        None if claim.starts_with("format:") && claim.contains("xml") => {
            capabilities.contains("Format: XML")
        }
        None if claim.starts_with("format:") => capabilities.contains("Formats and headers"),
        None if claim.contains("json-patch") => capabilities.contains("Patch: JSON Patch"),
        None if claim.contains("merge-patch") => capabilities.contains("Patch: JSON merge"),
        None if claim.starts_with("patch:") => capabilities.contains("Patch: FHIRPath Patch"),
        None if claim == "system?_has" => capabilities.contains("Search: reverse chains (_has)"),
        // Every search of the system names its types.
        None if claim == "system?_type" => used.contains("system.search-system"),
        None if claim.starts_with("system?") => {
            let name = claim.trim_start_matches("system");
            used.iter().any(|need| need.ends_with(name))
        }
        None => used.contains(claim),
    };
    claims
        .iter()
        .filter(|claim| !is_used(claim))
        .map(str::to_owned)
        .collect()
}

/// The verdicts, and what the gateway claims.
fn run(mut themes: Vec<case::Theme>) -> (Vec<Verdict>, Claims) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("wayside.toml");
    std::fs::write(
        &config,
        "[subscriptions]\nhosts = [\"127.0.0.1\"]\n[import]\nhosts = [\"127.0.0.1\"]\n",
    )
    .unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let site = Wayside::start(&binary().unwrap(), &data, &more, Stdio::null()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = runtime
        .block_on(Runner::new(&site.base, &Access::default()))
        .unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    runtime.block_on(runner.listen(loopback)).unwrap();
    themes.extend(generated::themes(&runner.claims));
    let mut verdicts = Vec::new();
    for (number, theme) in themes.iter().enumerate() {
        verdicts.extend(runtime.block_on(runner.run(theme, number)));
    }
    (verdicts, runner.claims)
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
