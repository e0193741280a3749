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

/// Runs a client on the base of a gateway of its own.
fn play(mut client: Command) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let base = format!("http://{}/fhir", site.http);
    let output = client.arg(base).output().expect("the client starts");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&told)
    );
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

/// Its models and HTTP; its ready-made calls ask for FHIR 4.3, which this gateway does not speak.
#[test]
fn the_models_of_fhir_sdk_work() {
    let client = tests::site::binary().with_file_name("fhir-sdk-client");
    if !client.exists() {
        println!("skipped: build it first: cargo build -p fhir-sdk-client");
        return;
    }
    play(Command::new(client));
}
