//! Clients that others wrote, unchanged, against the real binary. `tests/run` installs them. Each plays
//! all of [`ACTIONS`] by the library's own ready-made calls, and prints an action when it came out
//! right. One library lacks one: fhirclient (Python) has no patch, its session sends it.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)] // panics and skips are answers

use std::path::PathBuf;
use std::process::Command;
use tests::site::Site;

/// What each client must have done. Search goes over several pages; a conflict is an update with a stale
/// `If-Match`, refused with 412 in the client's own words for it, which changes nothing.
const ACTIONS: [&str; 7] = [
    "create", "read", "update", "search", "patch", "delete", "conflict",
];

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

/// Runs a client on the base of a gateway of its own.
fn play(mut client: Command) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let base = format!("http://{}/fhir", site.http);
    let output = client.arg(base).output().expect("the client starts");
    let done = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{done}{told}");
    for action in ACTIONS {
        assert!(
            done.lines().any(|line| line == action),
            "never played: {action}\n{done}"
        );
    }
}

fn script(program: impl Into<PathBuf>, name: &str) -> Command {
    let mut command = Command::new(program.into());
    command.arg(tests::source::root().join("target/foreign").join(name));
    command
}

#[test]
fn fhirpy_works_unchanged() {
    if let Some(python) = installed("venv/bin/python") {
        play(script(python, "fhirpy_client.py"));
    }
}

#[test]
fn fhir_kit_client_works_unchanged() {
    if installed("node_modules/fhir-kit-client").is_some() {
        play(script("node", "fhir_kit_client.mjs"));
    }
}

#[test]
fn fhirclient_works_unchanged() {
    if let Some(python) = installed("venv/bin/python") {
        play(script(python, "fhirclient_client.py"));
    }
}

#[test]
fn medplum_core_works_unchanged() {
    if installed("node_modules/@medplum/core").is_some() {
        play(script("node", "medplum_core.mjs"));
    }
}

#[test]
fn fhirclient_js_works_unchanged() {
    if installed("node_modules/fhirclient").is_some() {
        play(script("node", "fhirclient_js.mjs"));
    }
}

/// It asks for FHIR 4.3, and is answered 4.0.
#[test]
fn fhir_sdk_works_unchanged() {
    let client = tests::site::binary().with_file_name("fhir-sdk-client");
    if !client.exists() {
        println!("skipped: build it first: cargo build -p fhir-sdk-client");
        return;
    }
    play(Command::new(client));
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");

/// XML as the `fhir` package for JavaScript writes and reads it, of all official examples at hand;
/// those that break R4 too, so without validation.
#[test]
fn the_xml_of_another_library_says_the_same() {
    if installed("node_modules/fhir").is_none() {
        return;
    }
    if !std::path::Path::new(EXAMPLES).exists() {
        println!("skipped: no official examples");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wayside.toml");
    std::fs::write(&config, "[validation]\nlevel = \"off\"\n").unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let site = Site::start(&folder.path().join("data"), &more);
    let base = format!("http://{}/fhir", site.http);
    let mut oracle = script("node", "xml_oracle.mjs");
    let output = oracle.args([&base, EXAMPLES]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let lost = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{lost}");
}
