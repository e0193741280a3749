//! Servers that are none, or worse: the run ends with a reason, in bounded time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // panics are a test's answers; bound by its own server

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What the program says to a server that answers all requests so; `None` is silence.
fn told(answer: Option<&'static [u8]>, more: &[&str]) -> (Output, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/fhir", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match answer {
                None => silent.push(stream),
                Some(answer) => {
                    let mut request = [0; 4096];
                    // The program may leave first.
                    let _asked = stream.read(&mut request).is_ok();
                    let _told = stream.write_all(answer).is_ok();
                }
            }
        }
    });
    let begun = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"));
    let output = program.arg(base).args(more).output().unwrap();
    (output, begun.elapsed())
}

#[track_caller]
fn check(answer: Option<&'static [u8]>, more: &[&str], (code, expected): (i32, &str)) {
    let (output, took) = told(answer, more);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn what_is_no_fhir_server_is_told_so() {
    let no_statement = (2, "no CapabilityStatement");
    check(
        Some(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"),
        &[],
        no_statement,
    );
    check(
        Some(b"HTTP/1.1 302 Found\r\nlocation: /fhir/metadata\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        &[],
        no_statement,
    );
    check(Some(b"SSH-2.0-OpenSSH_9.2\r\n"), &[], (2, "conformance: "));
    check(Some(b""), &[], (2, "conformance: "));
}

#[test]
fn silence_ends_with_the_timeout() {
    check(None, &["--timeout", "1"], (2, "no answer within 1 s"));
}

/// It claims everything and answers every request with the same: the cases fail, the run ends.
#[test]
fn a_server_that_claims_and_does_nothing_fails() {
    let statement = b"HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\nconnection: close\r\ncontent-length: 204\r\n\r\n{\"resourceType\":\"CapabilityStatement\",\"fhirVersion\":\"4.0.1\",\"rest\":[{\"mode\":\"server\",\"resource\":[{\"type\":\"Patient\",\"interaction\":[{\"code\":\"create\"},{\"code\":\"read\"},{\"code\":\"vread\"},{\"code\":\"update\"}]}]}]}";
    let only = ["--only", "interactions/vread", "--timeout", "5"];
    check(Some(statement), &only, (1, "failed"));
}

#[test]
fn an_authority_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "none").unwrap();
    let more = ["--ca", file.to_str().unwrap()];
    check(Some(b""), &more, (2, "holds no certificate in PEM"));
}

/// What the specification leaves to the server is no failure; the same asked for is.
#[test]
fn what_is_left_to_the_server_may_be_left_out() {
    let statement = b"HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\nconnection: close\r\ncontent-length: 67\r\n\r\n{\"resourceType\":\"CapabilityStatement\",\"fhirVersion\":\"4.0.1\"       }";
    for (free, expected) in [
        (
            r#""free":true,"#,
            (0, "1 ask for what the specification leaves"),
        ),
        ("", (1, "wanted \"gzip\", found \"\"")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("area")).unwrap();
        let case = r#"{"name":"n",FREE"send":"GET metadata","header":{"content-encoding":"gzip"}}"#;
        let theme = r#"{"capability":"c","section":"s","spec":"u","cases":[CASE]}"#;
        let theme = theme.replace("CASE", &case.replace("FREE", free));
        std::fs::write(folder.path().join("area/theme.json"), theme).unwrap();
        let cases = ["--cases", folder.path().to_str().unwrap()];
        check(Some(statement), &cases, expected);
    }
}
