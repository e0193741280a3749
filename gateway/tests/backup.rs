//! Keys and backups against the real binary: taken while it runs, restored elsewhere with the sheet,
//! refused when damaged; and no file anywhere names a patient.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running gateway that lets everybody in; killed when dropped.
struct Site {
    child: Child,
    authority: String,
}

impl Site {
    fn start(folder: &Path, more: &[&str]) -> Site {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["serve", "--open", "--mllp", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let ready = lines.find(|line| line.starts_with("ready "));
        let ready = ready.unwrap_or_else(|| panic!("{}", text_of(&folder.join("log"))));
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

    fn put(&self, number: usize, family: &str) {
        let patient = format!(
            r#"{{"resourceType":"Patient","id":"p{number}","identifier":[{{"system":"urn:clinic","value":"{}"}}],"name":[{{"family":"{family}"}}]}}"#,
            identifier(number)
        );
        let (status, body) = self.ask(&format!("PUT /fhir/Patient/p{number}"), &patient);
        assert!(matches!(status, 200 | 201), "{body}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Exit code and both outputs.
fn wayside(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn check(folder: &Path, arguments: &str, (code, expected): (i32, &str)) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let (ended, text) = wayside(folder, &arguments);
    assert!(ended == code && text.contains(expected), "{ended}: {text}");
    text
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn name(number: usize) -> String {
    format!("Zqxfamily{number:03}")
}

fn identifier(number: usize) -> String {
    format!("zqxid{number:03}")
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|at| at == text.as_bytes())
}

/// Every file below, logs and backups too, is searched for 200 names and identifiers.
#[track_caller]
fn check_names_nobody(folder: &Path) {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    assert!(files.len() > 6, "{files:?}");
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        // All seeded texts begin alike, so one pass finds them all.
        for start in ["Zqxfamily", "zqxid", "zqxfamily"] {
            assert!(!contains(&bytes, start), "{start} in {}", path.display());
        }
    }
}

#[test]
fn a_site_comes_back_on_another_machine_with_the_sheet_alone() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here, &[]);
    (0..100).for_each(|number| site.put(number, &name(number)));
    check(here, "backup stick", (0, "manifests/"));
    site.put(7, "Changed");
    site.put(100, "Later");
    let text = check(here, "backup stick", (0, "last change"));
    assert!(text.contains("101"), "{text}");
    let (_, state) = site.ask("GET /admin/backup", "");
    assert!(state.contains("\"seq\":102"), "{state}");
    let (_, metrics) = site.ask("GET /metrics", "");
    assert!(!metrics.contains("wayside_backup_last_seconds 0"));
    check(here, "backup verify stick", (0, "sound: 101 resources"));
    let (status, refused) = site.ask("POST /admin/backup", r#"{"folder":"/"}"#);
    assert!(status == 400 && refused.contains("E-BACKUP-5"), "{refused}");

    // One version comes back into the running site, as a new one.
    let back = "restore stick --at 100 --resource Patient/p7";
    check(here, back, (0, "Patient/p7"));
    let (_, patient) = site.ask("GET /fhir/Patient/p7", "");
    assert!(
        patient.contains(&name(7)) && patient.contains("\"versionId\":\"3\""),
        "{patient}"
    );
    check(here, "restore stick --patient p100", (0, "Patient/p100"));
    check(here, "restore stick --resource Patient/none", (1, "E-"));
    check_names_nobody(here);
    drop(site);

    // Another machine: nothing but the stick and the sheet.
    let other = tempfile::tempdir().unwrap();
    let there = other.path();
    let stick = here.join("stick").display().to_string();
    let sheet = here.join("wayside-data.recovery-sheet");
    std::fs::copy(&sheet, there.join("sheet")).unwrap();
    let restore = format!("restore {stick} --recovery-file sheet");
    check(there, &format!("{restore} --at 50"), (1, "E-CLI-20"));
    check(there, &restore, (0, "101"));
    check(there, "verify", (0, "sound"));
    check(there, &restore, (1, "E-RESTORE-1"));
    let site = Site::start(there, &[]);
    assert!(site.ask("GET /fhir/Patient/p100", "").1.contains("Later"));
    let (_, found) = site.ask(&format!("GET /fhir/Patient?family={}", name(33)), "");
    assert!(found.contains("\"total\":1"), "{found}");
    check(there, &format!("{restore} --replace"), (1, "E-RESTORE-2"));
    drop(site);

    // Back to a point in time; the former store stays beside.
    check(
        there,
        &format!("{restore} --at 100 --replace"),
        (0, "before-"),
    );
    check(there, "verify", (0, "sound"));
    let site = Site::start(there, &[]);
    assert_eq!(site.ask("GET /fhir/Patient/p100", "").0, 404);
    assert!(site.ask("GET /fhir/Patient/p7", "").1.contains(&name(7)));
    check_names_nobody(there);
}

#[test]
fn a_damaged_backup_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here, &[]);
    (0..20).for_each(|number| site.put(number, &name(number)));
    drop(site);
    check(here, "backup stick", (0, "resources"));
    let before = std::fs::read(here.join("wayside-data/data.mdb")).unwrap();
    let pack = std::fs::read_dir(here.join("stick/packs")).unwrap().next();
    let pack = pack.unwrap().unwrap().path();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&pack, &bytes).unwrap();
    check(here, "backup verify stick", (3, "E-BACKUP-2"));
    check(here, "restore stick --replace", (1, "E-BACKUP-2"));
    let elsewhere = "--data elsewhere --recovery-file wayside-data.recovery-sheet";
    check(
        here,
        "restore stick --data elsewhere",
        (1, "--recovery-file"),
    );
    let restore = format!("restore stick {elsewhere}");
    check(here, &restore, (1, "E-BACKUP-2"));
    assert!(!here.join("elsewhere/data.mdb").exists());
    assert!(std::fs::read(here.join("wayside-data/data.mdb")).unwrap() == before);
    check(here, "verify", (0, "sound"));
    let restore = format!("restore nowhere {elsewhere}");
    check(here, &restore, (1, "E-BACKUP-3"));
}

/// A kill in the middle of a backup leaves the ones before; the next one is whole.
#[test]
fn a_backup_cut_off_by_a_kill_harms_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for round in 0..4_u64 {
        let site = Site::start(here, &[]);
        (0..40).for_each(|number| site.put(number, &format!("{}{round}", name(number))));
        let mut backup = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["backup", "stick"])
            .current_dir(here)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + 35 * round));
        drop(site);
        backup.kill().ok();
        backup.wait().unwrap();
        check(here, "verify", (0, "sound"));
        check(here, "backup stick", (0, "digest"));
        let text = check(here, "backup verify stick", (0, "sound"));
        assert!(!text.contains("E-BACKUP"), "{text}");
    }
}

#[test]
fn a_lost_key_file_is_made_good_and_a_wrong_key_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here, &[]);
    site.put(1, &name(1));
    check(here, "keys rotate", (0, "changed"));
    site.put(2, &name(2));
    let text = check(here, "keys shares --needed 2 --of 3", (0, "SHARE 3 OF 3"));
    drop(site);
    std::fs::remove_file(here.join("wayside-data.key")).unwrap();
    check(here, "verify", (1, "wayside keys recover"));
    let keys = text_of(&here.join("wayside-data/keys.json"));
    let shares: Vec<&str> = text.lines().filter(|line| line.starts_with("S-")).collect();
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(here.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    write("one", shares[0]);
    check(here, "keys recover --recovery-file one", (1, "E-KEY-11"));
    write("wrong", &shares[0].replace('S', "R"));
    check(here, "keys recover --recovery-file wrong", (1, "E-KEY-11"));
    assert_eq!(text_of(&here.join("wayside-data/keys.json")), keys);
    write("two", &format!("{}\n{}\n", shares[0], shares[2]));
    check(here, "keys recover --recovery-file two", (0, "key file"));
    check(here, "verify", (0, "sound"));
    write("phrase", "six words are better than one\n");
    let phrase = "keys add-passphrase --new-passphrase-file phrase";
    check(here, phrase, (0, "passphrase"));
    write("short", "secret\n");
    let short = "keys add-passphrase --new-passphrase-file short";
    check(here, short, (2, "E-CLI-10"));
    std::fs::remove_file(here.join("wayside-data.key")).unwrap();
    check(here, "verify", (1, "E-KEY-3"));
    check(here, "verify --passphrase-file phrase", (0, "sound"));
    write("guess", "six words are better than two\n");
    check(here, "verify --passphrase-file guess", (1, "E-KEY-9"));
    check(here, "keys rotate --passphrase-file phrase", (0, "changed"));
    check(here, "verify --passphrase-file phrase", (0, "sound"));
    check(
        here,
        "keys remove 9 --passphrase-file phrase",
        (1, "E-KEY-12"),
    );
    std::fs::remove_file(here.join("wayside-data.recovery-sheet")).unwrap();
    check(here, "keys status", (0, "any 2 of 3 shares"));
}

#[test]
fn a_record_is_purged_on_the_command_line_while_the_gateway_runs_and_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    check(here, "purge p1", (1, "E-CLI-23"));
    let site = Site::start(here, &[]);
    site.put(1, &name(1));
    site.put(2, &name(2));
    let observation = r#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}"#;
    assert_eq!(site.ask("PUT /fhir/Observation/o", observation).0, 201);
    let seen = check(here, "purge Patient/p1", (0, "Nothing was changed"));
    assert!(seen.contains("Observation"), "{seen}");
    assert_eq!(site.ask("GET /fhir/Patient/p1", "").0, 200);
    check(here, "purge p1 --confirm", (2, "--reason"));
    check(here, "purge none --confirm --reason asked", (1, "HTTP 404"));
    let asked = "purge p1 --confirm --reason asked --certificate c.json";
    let done = check(here, asked, (0, "This is the certificate"));
    assert_eq!(site.ask("GET /fhir/Patient/p1", "").0, 410);
    assert_eq!(site.ask("GET /fhir/Observation/o", "").0, 410);
    let kept = text_of(&here.join("c.json"));
    let chain = done.split_once("audit-chain: ").unwrap().1;
    let chain = chain.lines().next().unwrap();
    assert!(chain.len() == 64 && kept.contains(chain), "{kept}");
    // A certificate is never written over.
    check(here, &asked.replace("p1", "p2"), (1, "E-PURGE-6"));
    assert_eq!(site.ask("GET /fhir/Patient/p2", "").0, 200);
    drop(site);
    let seen = check(here, "purge p2", (0, "Nothing was changed"));
    assert!(seen.contains("Patient"), "{seen}");
    check(
        here,
        "purge p2 --confirm --reason asked",
        (0, "audit-entry: "),
    );
    check(here, "purge p2", (1, "E-READ-5"));
    check(here, "verify", (0, ""));
}

/// Between two backups every change is a point to go back to.
#[test]
fn a_site_comes_back_as_of_any_change_between_two_backups() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here, &[]);
    (0..10).for_each(|number| site.put(number, &name(number)));
    check(here, "backup stick", (0, "last change"));
    site.put(3, "Later");
    site.put(10, &name(10));
    let (_, patient) = site.ask("GET /fhir/Patient/p10", "");
    let time = patient.split("\"lastUpdated\":\"").nth(1).unwrap();
    let time = time.split('"').next().unwrap().to_owned();
    // What comes next has another time.
    std::thread::sleep(Duration::from_millis(5));
    site.put(3, "Last");
    check(here, "backup stick", (0, "last change"));
    check(here, "backup list stick", (0, "not checked yet"));
    check(here, "backup verify stick", (0, "sound: 11 resources"));
    let deep = "backup verify stick --deep --at 10";
    check(here, deep, (0, "sound: 10 resources"));
    let text = check(here, "backup list stick", (0, "restored on trial"));
    assert!(
        text.contains("opened 2") && !text.contains("NOT SOUND"),
        "{text}"
    );
    drop(site);
    assert!(!here.join("wayside-data.drill").exists());
    std::fs::create_dir(here.join("at1")).unwrap();
    for (number, at, family, has_new) in [
        (1, "11", "Later", false),
        (2, "12", "Later", true),
        (3, time.as_str(), "Later", true),
        (4, "13", "Last", true),
    ] {
        let data = format!("--data at{number}");
        let sheet = "--recovery-file wayside-data.recovery-sheet";
        let restore = format!("restore stick {data} {sheet} --at {at}");
        let text = check(here, &restore, (0, "last change"));
        assert_eq!(text.contains("changes added"), at != "13", "{text}");
        check(here, &format!("verify {data}"), (0, "sound"));
        let site = Site::start(here, &["--data", &format!("at{number}")]);
        let (_, found) = site.ask("GET /fhir/Patient/p3", "");
        assert!(found.contains(family), "{at}: {found}");
        let search = format!("GET /fhir/Patient?family={family}&_summary=count");
        assert!(site.ask(&search, "").1.contains("\"total\":1"), "{at}");
        let expected = if has_new { 200 } else { 404 };
        assert_eq!(site.ask("GET /fhir/Patient/p10", "").0, expected, "{at}");
        // Another life: a write that is meant for the former one is refused before it is looked at.
        let meant =
            "PUT /fhir/Patient/p3 HTTP/1.1\r\nWayside-Incarnation: 0011223344556677\r\nX-Rest:";
        let (status, text) = site.ask(meant, "{}");
        assert!(status == 412 && text.contains("E-COND-4"), "{text}");
    }
    check(here, "restore stick --at 12 --replace", (0, "before-"));
    let text = check(here, "verify", (0, "sound"));
    assert!(!here.join("wayside-data.looking-back").exists(), "{text}");
    assert!(!here.join("wayside-data/restoring").exists());
}

/// A kill at any moment leaves the state before or the one after, and the next restore says what it found.
#[test]
fn a_restore_cut_off_by_a_kill_leaves_one_of_two_states() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let site = Site::start(here, &[]);
    (0..30).for_each(|number| site.put(number, &name(number)));
    check(here, "backup stick", (0, "resources"));
    (30..40).for_each(|number| site.put(number, &name(number)));
    check(here, "backup stick", (0, "resources"));
    drop(site);
    let cut = |arguments: &str, after_ms: u64| {
        let mut restore = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(arguments.split(' '))
            .current_dir(here)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        restore.kill().ok();
        restore.wait().unwrap();
    };
    let resources = || {
        let text = check(here, "verify", (0, "sound"));
        let line = text.lines().find(|line| line.starts_with("resources"));
        let count = line.unwrap().split_whitespace().nth(1).unwrap();
        count.parse::<u64>().unwrap()
    };
    for round in 0..8 {
        // In turn to the point between the backups and to the newest one.
        let (at, new) = if round % 2 == 0 {
            (" --at 35", 35)
        } else {
            ("", 40)
        };
        let before = resources();
        cut(&format!("restore stick --replace{at}"), 15 + 30 * round);
        let after = resources();
        assert!(after == before || after == new, "{before} {after}");
    }
    check(here, "restore stick --replace", (0, "before-"));
    assert_eq!(resources(), 40);
    assert!(!here.join("wayside-data.restoring").exists());

    // Into an empty place: no store, and no new one over half of one.
    let sheet = "--recovery-file wayside-data.recovery-sheet";
    for round in 0..6 {
        let data = format!("there{round}");
        cut(
            &format!("restore stick --data {data} {sheet}"),
            5 + 15 * round,
        );
        let (is_begun, is_there) = (
            here.join(&data).join("restoring").exists(),
            here.join(&data).join("data.mdb").exists(),
        );
        if is_begun && !is_there {
            check(here, &format!("verify --data {data}"), (1, "E-START-8"));
        }
        if !is_there {
            check(
                here,
                &format!("restore stick --data {data} {sheet}"),
                (0, "40"),
            );
        }
        let text = check(here, &format!("verify --data {data}"), (0, "sound"));
        assert!(text.contains("40"), "{text}");
    }
}
