//! What a disk damages, against the real binary: found by verify and by the scrub, answered as a failure,
//! and put right from a backup as the same version.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

use gateway_ground::keys::{self, Places};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use store::{Keys, OpenOptions, ResourceKey, Store, StoreError};

/// A running gateway that lets everybody in; killed when dropped.
struct Site {
    child: Child,
    authority: String,
}

impl Site {
    fn start(folder: &Path) -> Site {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["serve", "--open", "--mllp", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
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

    /// Status and body.
    fn ask(&self, line: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/fhir+json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn put(&self, number: usize) {
        let patient = format!(r#"{{"resourceType":"Patient","id":"p{number}","gender":"female"}}"#);
        let (status, body) = self.ask(&format!("PUT /fhir/Patient/p{number}"), &patient);
        assert_eq!(status, 201, "{body}");
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[track_caller]
fn check(folder: &Path, arguments: &str, (code, expected): (i32, &str)) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let ended = output.status.code().unwrap_or(-1);
    assert!(
        ended == code && text.contains(expected),
        "{arguments}: {ended}: {text}"
    );
    text
}

fn open(folder: &Path) -> Store {
    let places = Places {
        data: folder.join("wayside-data"),
        key: None,
    };
    let master = keys::obtain(&places, None).unwrap();
    let options = OpenOptions {
        folder: places.data,
        map_size_bytes: 1 << 26,
        queue_length_max: 16,
        random: keys::random,
    };
    let key_encryption_key = *master.current;
    Store::open(options, Keys { key_encryption_key }).unwrap()
}

/// Flips a bit in every copy of a row that lies in the data file.
fn flip(folder: &Path, row: impl Fn(u8, &[u8]) -> bool) {
    let store = open(folder);
    let image = store.image().unwrap();
    let mut value = Vec::new();
    image
        .each_row(|(database, key, sealed)| {
            if row(database, key) {
                value = sealed.to_vec();
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(image);
    store.close();
    let file = folder.join("wayside-data/data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let all = 0..bytes.len() - value.len();
    let places: Vec<usize> = all.filter(|at| bytes[*at..].starts_with(&value)).collect();
    assert!(!value.is_empty() && !places.is_empty());
    for at in places {
        bytes[at + 30] ^= 1;
    }
    std::fs::write(&file, bytes).unwrap();
}

/// Rid of a patient.
fn rid(folder: &Path, id: &str) -> u64 {
    let store = open(folder);
    let key = ResourceKey {
        resource_type: "Patient".to_owned(),
        id: id.to_owned(),
    };
    let head = store.snapshot().unwrap().view().head(&key).unwrap();
    store.close();
    head.unwrap().rid.0
}

#[test]
fn damage_is_found_told_and_put_right_from_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here);
    (0..20).for_each(|number| site.put(number));
    let (_, before) = site.ask("GET /fhir/Patient/p7", "");
    check(here, "backup stick", (0, "manifests/"));
    check(here, "audit verify", (0, "both logs are whole"));
    site.stop();
    check(here, "verify --sample 50%", (0, "sound"));
    check(here, "verify --last", (0, "nothing was looked over yet"));
    check(here, "repair --from stick", (0, "nothing is damaged"));

    let number = rid(here, "p7");
    let version = [number.to_be_bytes(), 1_u64.to_be_bytes()].concat();
    flip(here, |database, key| database == 3 && key == version);
    flip(here, |database, key| {
        database == 7 && key == 5_u64.to_be_bytes()
    });
    check(here, "verify", (3, "2 findings"));
    let told = check(here, "audit verify", (3, "audit: first broken at 5, 20"));
    assert!(told.contains("1 findings"), "{told}");

    let site = Site::start(here);
    let (status, body) = site.ask("GET /fhir/Patient/p7", "");
    assert!(status == 500 && body.contains("E-STORE-3"), "{body}");
    assert_eq!(site.ask("GET /fhir/Patient/p8", "").0, 200);
    check(here, "audit verify", (3, "audit: first broken at 5, 20"));
    assert_eq!(site.ask("POST /admin/scrub", "").0, 202);
    let looked = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let (_, told) = site.ask("GET /admin/scrub", "");
        told.contains(r#""last":{"#)
    });
    assert!(looked, "a round ends");
    check(here, "verify --last", (3, "2 not put right"));
    let (_, metrics) = site.ask("GET /metrics", "");
    assert!(metrics.contains("wayside_scrub_damaged 2"), "{metrics}");
    site.stop();
    let log = std::fs::read_to_string(here.join("log")).unwrap();
    assert_eq!(log.matches("E-SCRUB-1").count(), 2, "{log}");
    assert!(!log.contains("p7"), "{log}");

    check(here, "repair --from stick Patient/p7", (0, "taken from "));
    check(here, "verify", (3, "1 findings"));
    check(here, "repair --from stick", (0, "taken from "));
    check(here, "verify", (0, "sound"));
    check(here, "audit verify", (0, "both logs are whole"));
    let site = Site::start(here);
    let (status, after) = site.ask("GET /fhir/Patient/p7", "");
    assert_eq!((status, after), (200, before));
    let (_, history) = site.ask("GET /fhir/Patient/p7/_history", "");
    assert!(history.contains(r#""total":1"#), "{history}");
    check(here, "verify", (1, "E-STORE-7"));
}
