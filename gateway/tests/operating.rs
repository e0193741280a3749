//! OPERATING.md names every metric, subcommand, setting section and exit code that exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers

use gateway_ground::telemetry::{Gauges, Telemetry};
use std::process::Command;

const OPERATING: &str = include_str!("../OPERATING.md");

#[track_caller]
fn check(what: &str, names: Vec<String>, as_written: impl Fn(&str) -> String) {
    assert!(!names.is_empty(), "no {what} is found at all");
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !OPERATING.contains(&as_written(name)))
        .collect();
    assert!(
        missing.is_empty(),
        "{what} not in OPERATING.md: {missing:?}"
    );
}

#[test]
fn every_metric_is_explained() {
    let text = Telemetry::new().metrics(&Gauges::default());
    let name = |line: &str| {
        let name = line.strip_prefix("# TYPE wayside_")?.split(' ').next()?;
        Some(name.to_owned())
    };
    let mut names: Vec<String> = text.lines().filter_map(name).collect();
    names.retain(|name| name != "build");
    check("metrics", names, |name| format!("`{name}`"));
}

#[test]
fn every_subcommand_is_explained() {
    let help = Command::new(env!("CARGO_BIN_EXE_wayside"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let list = help.split("Commands:\n").nth(1).unwrap();
    let names = list.lines().take_while(|line| line.starts_with("  "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.filter(|n| *n != "help").map(str::to_owned).collect();
    check("subcommands", names, |name| format!("wayside {name}"));
}
