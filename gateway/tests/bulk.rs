//! Bulk export against the real binary: the loop carries it out, and a restart does not lose it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running gateway that lets everybody in; killed when dropped.
struct Site {
    child: Child,
    authority: String,
}

impl Site {
    fn start(folder: &Path) -> Site {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args([
                "serve",
                "--open",
                "--mllp",
                "127.0.0.1:0",
                "--listen",
                "127.0.0.1:0",
            ])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let ready = lines.find(|line| line.starts_with("ready ")).unwrap();
        let authority = ready.split('/').nth(2).unwrap().to_owned();
        Site { child, authority }
    }

    /// Status, head and body.
    fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The path of a URL in a text that starts with it.
fn path(text: &str) -> String {
    let rest = text.split_once("/fhir").unwrap().1;
    let end = rest.find(['"', '\r', '\n']).unwrap_or(rest.len());
    format!("/fhir{}", rest.split_at(end).0)
}

#[test]
fn an_export_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let patient = r#"{"resourceType":"Patient","id":"p","multipleBirthInteger":1}"#;
    let json = "Content-Type: application/fhir+json\r\n";
    assert_eq!(site.ask("PUT /fhir/Patient/p", json, patient).0, 201);
    let wishes = "Prefer: respond-async\r\nAccept: application/fhir+json\r\n";
    let (status, head, body) = site.ask("GET /fhir/$export", wishes, "");
    assert_eq!(status, 202, "{head} {body}");
    let location = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("content-location:"));
    let location = path(location.unwrap());
    drop(site); // SIGKILL
    let site = Site::start(folder.path());
    let manifest = (0..200).find_map(|_| {
        let (status, _, body) = site.ask(
            &format!("GET {location}"),
            "Accept: application/json\r\n",
            "",
        );
        match status {
            200 => Some(body),
            202 => {
                std::thread::sleep(Duration::from_millis(50));
                None
            }
            _ => panic!("{status} {body}"),
        }
    });
    let manifest = manifest.expect("the export is carried out");
    let url = path(manifest.split_once("\"url\":\"").unwrap().1);
    let (status, head, file) = site.ask(
        &format!("GET {url}"),
        "Accept: application/fhir+ndjson\r\n",
        "",
    );
    assert_eq!(status, 200, "{file}");
    assert!(
        head.to_lowercase()
            .contains("content-type: application/fhir+ndjson"),
        "{head}"
    );
    assert!(
        file.contains("\"multipleBirthInteger\":1") && file.ends_with('\n'),
        "{file}"
    );
}
