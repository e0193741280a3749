//! Clients that others wrote, unchanged, against the real binary. `tests/run` installs them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)] // panics and skips are answers

use std::path::PathBuf;
use std::process::Command;
use tests::site::Site;

/// Where `tests/run` puts the clients.
fn installed(path: &str) -> Option<PathBuf> {
    let path = tests::source::root().join("target/foreign").join(path);
    if !path.exists() {
        println!(
            "skipped: {} is not installed; tests/run installs it",
            path.display()
        );
        return None;
    }
    Some(path)
}

fn play(program: PathBuf, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let script = tests::source::root().join("target/foreign").join(script);
    let output = Command::new(program)
        .arg(script)
        .arg(format!("http://{}/fhir", site.http))
        .output()
        .expect("the client starts");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&told)
    );
}

#[test]
fn fhirpy_works_unchanged() {
    if let Some(python) = installed("venv/bin/python") {
        play(python, "fhirpy_client.py");
    }
}

#[test]
fn fhir_kit_client_works_unchanged() {
    if installed("node_modules/fhir-kit-client").is_some() {
        play(PathBuf::from("node"), "fhir_kit_client.mjs");
    }
}
