//! The README's ten minutes with curl, as they stand there, on free ports.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // panics and skips are a test's answers

use std::process::Command;
use tests::site::binary;

/// Starts the gateway with its defaults but for the ports, and waits until it is ready.
const START: &str = r#"
"$WAYSIDE" serve --listen 127.0.0.1:0 --mllp 127.0.0.1:0 > said 2> log &
trap 'kill %1; wait' EXIT
until grep -q '^ready' said; do sleep 0.1; kill -0 %1 || exit 9; done
BASE=$(sed -n 's/^ready //p' said)
exec 2>&1
MLLP=$(sed -n 's/^listening mllp 127.0.0.1://p' said)
"#;

/// What a newcomer must see, in this order.
const SEEN: [&str; 9] = [
    "HTTP/1.1 201 Created",
    "\"birthDate\":\"1991-05\"",
    "\"type\":\"history\"",
    "HTTP/1.1 200 OK",
    "\"total\":1",
    "\"expression\":[\"Patient.actve\"]",
    "MSA|AA|M1",
    "\"value\":13.50",
    "\"total\":0",
];

#[test]
fn the_tour_of_the_readme_shows_what_it_says() {
    let has = |tool: &str| Command::new(tool).arg("-h").output().is_ok();
    if !has("curl") || !has("nc") {
        println!("skipped: curl or nc is not installed; tests/run installs them");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("{START}{}", tour()))
        .env("WAYSIDE", binary())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = told.as_str();
    for wanted in SEEN {
        let found = rest.split_once(wanted);
        let (_, after) = found.unwrap_or_else(|| panic!("{wanted} is not seen in {told}"));
        rest = after;
    }
    assert!(
        rest.contains("no conflict"),
        "the list of conflicts: {rest}"
    );
}

/// The commands of the README, pointed at the gateway that runs already.
fn tour() -> String {
    let readme = std::fs::read_to_string(tests::source::root().join("README.md")).unwrap();
    let start = "```sh\ncargo run --release &\nBASE=http://127.0.0.1:8080/fhir\n";
    let (_, tour) = readme.split_once(start).unwrap();
    let (tour, _) = tour.split_once("```").unwrap();
    tour.replace("cargo run --release -- ", "\"$WAYSIDE\" ")
        .replace("nc 127.0.0.1 2575", "nc 127.0.0.1 $MLLP")
}
