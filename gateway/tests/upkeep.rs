//! What an administrator lives through, on the real binary: a disk that fills up, an index that is made
//! anew over a kill.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time
#![allow(clippy::print_stdout)] // a test says why it is skipped

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running gateway that lets everybody in; killed when dropped.
struct Site {
    child: Child,
    authority: String,
    mllp: String,
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
        let mut said: Vec<String> = Vec::new();
        for line in lines {
            said.push(line.unwrap());
            if said.last().unwrap().starts_with("ready ") {
                break;
            }
        }
        let find = |start: &str| {
            let line = said.iter().find_map(|line| line.strip_prefix(start));
            line.unwrap_or_else(|| panic!("{said:?}")).to_owned()
        };
        let authority = find("ready ").split('/').nth(2).unwrap().to_owned();
        Site {
            child,
            authority,
            mllp: find("listening mllp "),
        }
    }

    /// Status and body.
    fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Type: application/fhir+json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    #[track_caller]
    fn check(&self, line: &str, body: &str, (status, part): (u16, &str)) -> String {
        let (found, text) = self.ask(line, "Prefer: respond-async\r\n", body);
        assert!(
            found == status && text.contains(part),
            "{line}: {found} {text}"
        );
        text
    }

    /// Waits for a line of the metrics.
    #[track_caller]
    fn wait_for(&self, metric: &str) {
        for _ in 0..1200 {
            let (_, text) = self.ask("GET /metrics", "", "");
            if text.lines().any(|line| line == metric) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{metric}: {}", self.ask("GET /metrics", "", "").1);
    }

    /// The acknowledgement of a device's message.
    fn send(&self, control: &str) -> String {
        let mut stream = TcpStream::connect(&self.mllp).unwrap();
        let message = format!(
            "\x0bMSH|^~\\&|CBC|LAB|WAYSIDE|SITE|20260301103000||ORU^R01|{control}|P|2.5\r\
             PID|1||0042^^^urn:clinic\rOBR|1||S-77|58410-2^CBC^LN|||20260301101500||||||||||||||||||F\r\
             OBX|1|NM|718-7^Hemoglobin^LN||13.50|g/dL|12-16|N|||F\r\x1c\r"
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut acknowledged = Vec::new();
        let mut reader = BufReader::new(stream);
        reader.read_until(0x1c, &mut acknowledged).unwrap();
        String::from_utf8(acknowledged).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A file system of its own in memory, whose size can be changed.
struct Mounted(PathBuf);

impl Mounted {
    fn at(folder: &Path) -> Option<Mounted> {
        let mounted = Mounted(folder.to_owned());
        mounted.mount("size=600m").then_some(mounted)
    }

    fn mount(&self, options: &str) -> bool {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&self.0)
            .output();
        mount.is_ok_and(|mount| mount.status.success())
    }

    /// Makes it so small that so many MiB are left.
    fn leave(&self, free_mib: u64) {
        let about = Command::new("stat")
            .args(["-f", "-c", "%S %b %f"])
            .arg(&self.0)
            .output();
        let about = String::from_utf8(about.unwrap().stdout).unwrap();
        let numbers: Vec<u64> = about
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let used = numbers[0] * (numbers[1] - numbers[2]);
        let size = used + (free_mib << 20);
        assert!(self.mount(&format!("remount,size={size}")), "{size}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p"}"#;

#[test]
fn when_the_disk_fills_up_bulk_work_goes_first_and_devices_last() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::at(folder.path()) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let site = Site::start(folder.path());
    let reserve = folder.path().join("wayside-data/reserve");
    site.wait_for("wayside_disk_stage 0");
    site.check("PUT /fhir/Patient/p", PATIENT, (201, ""));
    site.check(
        "PUT /fhir/Patient/q",
        &PATIENT.replace("\"p\"", "\"q\""),
        (201, ""),
    );
    site.check("GET /fhir/$export", "", (202, ""));
    assert!(reserve.exists());

    mounted.leave(50);
    site.wait_for("wayside_disk_stage 3");
    site.check("GET /fhir/$export", "", (507, "E-DISK-1"));
    site.check("POST /fhir/$import", "{}", (507, "E-DISK-1"));
    site.check(
        "POST /fhir/Patient",
        r#"{"resourceType":"Patient"}"#,
        (201, ""),
    );
    site.check("GET /readyz", "", (200, "disk: "));
    assert!(reserve.exists());

    mounted.leave(28);
    site.wait_for("wayside_disk_stage 4");
    site.check("PUT /fhir/Patient/p", PATIENT, (507, "E-DISK-2"));
    site.check(
        "POST /fhir/Patient",
        r#"{"resourceType":"Patient"}"#,
        (507, "E-DISK-2"),
    );
    site.check("GET /fhir/Patient/p", "", (200, "Patient"));
    site.check("GET /fhir/Patient?_id=p", "", (200, "Patient"));
    site.check("GET /readyz", "", (503, "the disk is full"));
    site.check("DELETE /fhir/Patient/q", "", (204, ""));
    let acknowledged = site.send("M1");
    assert!(acknowledged.contains("MSA|AA|M1"), "{acknowledged}");
    // Given up at the next look at the latest.
    let is_given_up = || !reserve.exists();
    assert!((0..600).any(|_| is_given_up() || {
        std::thread::sleep(Duration::from_millis(50));
        false
    }));
    site.wait_for("wayside_disk_stage 4");

    assert!(mounted.mount("remount,size=600m"));
    site.wait_for("wayside_disk_stage 0");
    site.check("PUT /fhir/Patient/p", PATIENT, (200, ""));
    site.check("GET /fhir/$export", "", (202, ""));
    site.check("GET /readyz", "", (200, "ready"));
    drop(site);
}

/// Looked at, of how many, and whether it is through.
fn progress(site: &Site) -> (u64, u64, bool) {
    let (_, text) = site.ask("GET /admin/reindex", "", "");
    let number = |name: &str| {
        let rest = text.split_once(&format!("\"{name}\":")).unwrap().1;
        let end = rest.find([',', '}']).unwrap();
        rest.split_at(end).0.to_owned()
    };
    let count = |name| number(name).parse().unwrap();
    (
        count("looked_at"),
        count("of"),
        number("is_whole") == "true",
    )
}

/// Every answer is right, whether the index is whole or not.
#[track_caller]
fn check_searches(site: &Site) {
    for (query, expected) in [
        ("Patient?gender=female", 1_200),
        ("Patient?birthdate=lt1960", 120),
        ("Patient?family:exact=Family7", 1),
    ] {
        let ask = format!("GET /fhir/{query}&_summary=count");
        let part = format!("\"total\":{expected}");
        site.check(&ask, "", (200, &part));
    }
}

/// 2,400 patients.
fn load(site: &Site) {
    for bundle in 0..6 {
        let entry = |number: u32| {
            let gender = if number.is_multiple_of(2) {
                "female"
            } else {
                "male"
            };
            let year = if number.is_multiple_of(20) {
                1950
            } else {
                1980
            };
            format!(
                r#"{{"resource":{{"resourceType":"Patient","id":"p{number}","gender":"{gender}","birthDate":"{year}","name":[{{"family":"Family{number}"}}]}},"request":{{"method":"PUT","url":"Patient/p{number}"}}}}"#
            )
        };
        let entries: Vec<String> = (bundle * 400..bundle * 400 + 400).map(entry).collect();
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
            entries.join(",")
        );
        site.check("POST /fhir", &body, (200, ""));
    }
}

#[test]
fn a_reindex_that_a_kill_cut_off_goes_on_and_nothing_is_trusted_before_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    load(&site);
    check_searches(&site);
    let mut caught = None;
    for _ in 0..50 {
        site.check("POST /admin/reindex", "", (202, ""));
        caught = loop {
            match progress(&site) {
                (_, _, true) => break None,
                (0, ..) => {}
                (looked_at, ..) => break Some(looked_at),
            }
        };
        if caught.is_some() {
            break;
        }
    }
    let caught = caught.expect("one of fifty is seen in its middle");
    drop(site); // SIGKILL
    let site = Site::start(folder.path());
    let status = |expected: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["reindex", "--status"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(expected), "{text}");
    };
    status("2400");
    let mut is_through = false;
    for _ in 0..1200 {
        let statement = site.ask("GET /fhir/metadata", "", "").1;
        let (looked_at, of, is_whole) = progress(&site);
        assert!(
            is_whole || looked_at >= caught,
            "{looked_at} of {of}, {caught} before"
        );
        // What is not whole now was not whole before either.
        assert!(is_whole || !statement.contains("\"name\":\"birthdate\""));
        check_searches(&site);
        if is_whole {
            is_through = true;
            break;
        }
    }
    assert!(is_through, "{:?}", progress(&site));
    let statement = site.ask("GET /fhir/metadata", "", "").1;
    assert!(statement.contains("\"name\":\"birthdate\""));
    status("the search index is whole: 2400 resources");
    check_searches(&site);
}

#[test]
fn an_administrator_sees_and_ends_the_jobs_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let wayside = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let site = Site::start(folder.path());
    site.check("PUT /fhir/Patient/p", PATIENT, (201, ""));
    site.check("GET /fhir/$export?_type=Patient", "", (202, ""));
    site.check("GET /fhir/Patient/$export", "", (202, ""));
    let (code, text) = wayside(&["jobs", "list"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{text}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("export") && line.contains("open")),
        "{text}"
    );
    let ids: Vec<&str> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(wayside(&["jobs", "cancel", ids[0]]).0, Some(0));
    assert_eq!(
        site.ask(&format!("GET /fhir/_jobs/{}", ids[0]), "", "").0,
        404
    );
    assert_eq!(wayside(&["jobs", "cancel", ids[0]]).0, Some(1));
    drop(site);
    let (_, text) = wayside(&["jobs", "list"]);
    assert!(
        text.starts_with(ids[1]) && text.lines().count() == 1,
        "{text}"
    );
    assert_eq!(wayside(&["jobs", "cancel", ids[1]]).0, Some(0));
    assert_eq!(
        wayside(&["jobs", "list"]).1,
        "no exports or imports are kept\n"
    );
}
