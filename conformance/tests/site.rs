//! The cases against the real binary, started on an empty folder.
#![allow(clippy::unwrap_used, clippy::expect_used)] // panics are a test's answers

use conformance::{case, runner, statement};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A gateway of its own, killed when dropped.
struct Site {
    child: Child,
    base: String,
}

impl Site {
    fn start(data: &Path) -> Site {
        let mut child = Command::new(binary())
            .args([
                "serve",
                "--open",
                "--listen",
                "127.0.0.1:0",
                "--mllp",
                "127.0.0.1:0",
            ])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the wayside binary starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
        let base = ready.expect("the gateway said `ready` before it ended");
        Site { child, base }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The binary of the profile that this test was built with.
fn binary() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join("wayside");
    assert!(path.exists(), "build it first: cargo build -p gateway");
    path
}

#[test]
fn every_case_holds_and_the_statement_claims_what_they_prove() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"));
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
