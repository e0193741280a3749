//! Imports into a store in a temporary folder.

use super::*;
use fhir_mapping::model::{Json, Limits, parse};
use gateway_ground::clock::Clock;
use gateway_repository::Repository;
use gateway_repository::fresh;
use insta::assert_snapshot;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use store::ResourceKey;

/// A store and a folder of files beside it.
struct Site {
    folder: tempfile::TempDir,
    repository: Repository,
}

impl Site {
    fn new() -> Site {
        let (repository, folder) = fresh::repository(Clock::driven(1_700_000_000_000));
        Site { folder, repository }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, paths: &[PathBuf]) -> Report {
        self.run(paths, false)
    }

    fn run(&self, paths: &[PathBuf], again: bool) -> Report {
        let door = Door::here(self.repository.clone());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let import = Import {
            door: &door,
            again,
            bar: ProgressBar::hidden(),
        };
        let paths = files::expand(paths).unwrap();
        runtime.block_on(import.all(&paths)).unwrap()
    }

    fn read(&self, resource_type: &str, id: &str) -> Option<Json> {
        let key = ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        let stored = self.repository.read(&key).ok()?;
        parse(&stored.body, Limits::default()).ok()
    }

    /// Live resources by type, counted in the store.
    fn counts(&self) -> BTreeMap<String, u64> {
        let snapshot = self.repository.store().snapshot().unwrap();
        let view = snapshot.view();
        let mut counts = BTreeMap::new();
        for head in view.scan_heads(None, usize::MAX).unwrap() {
            let stored = view.version(head.rid, head.version).unwrap().unwrap();
            if !stored.deleted {
                *counts.entry(stored.key.resource_type).or_default() += 1;
            }
        }
        counts
    }

    fn last_seq(&self) -> u64 {
        let snapshot = self.repository.store().snapshot().unwrap();
        snapshot.view().last_seq().unwrap().0
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn bzip2(text: &str) -> Vec<u8> {
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","active":true}"#;
const TRANSACTION: &str = r#"{"resourceType":"Bundle","type":"transaction","entry":[
    {"fullUrl":"urn:uuid:085e81c0-7a95-ef02-16ef-aa1b4344deed",
     "resource":{"resourceType":"Patient","active":true},
     "request":{"method":"POST","url":"Patient"}},
    {"resource":{"resourceType":"Basic","id":"b1","code":{"text":"x"},
       "subject":{"reference":"urn:uuid:085e81c0-7a95-ef02-16ef-aa1b4344deed"}},
     "request":{"method":"PUT","url":"Basic/b1"}}]}"#;

#[test]
fn every_form_and_packing_comes_in() {
    let site = Site::new();
    let with_id = |id: &str| PATIENT.replace("p1", id);
    let lines = format!(
        "{}\n\n{}\r\n{}",
        with_id("l1"),
        with_id("l2"),
        with_id("l3")
    );
    site.file("a.json", with_id("a"));
    site.file("b.json.gz", gzip(&with_id("b")));
    site.file("c.json.bz2", bzip2(&with_id("c")));
    site.file(
        "d.json.zst",
        zstd::encode_all(with_id("d").as_bytes(), 1).unwrap(),
    );
    site.file("e.ndjson.gz", gzip(&lines));
    site.file("f.json", TRANSACTION);
    site.file("notes.txt", "not to be read");
    let collection = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{}}}]}}"#,
        with_id("g")
    );
    site.file("g.json", collection);
    let report = site.import(&[site.folder.path().to_owned()]);
    assert_snapshot!(report.lines().join("\n"), @"
    Basic                                 1 created        0 known
    Patient                               9 created        0 known
    7 files: 10 resources created, 0 known before, 0 rejects
    ");
    for id in ["a", "b", "c", "d", "l1", "l2", "l3", "g"] {
        assert!(site.read("Patient", id).is_some(), "{id}");
    }
    let basic = site.read("Basic", "b1").unwrap();
    let subject = basic.str_at(&["subject", "reference"]).unwrap();
    let (_, id) = subject.split_once('/').unwrap();
    assert!(site.read("Patient", id).is_some(), "{subject}");
}

#[test]
fn a_second_run_changes_nothing() {
    let site = Site::new();
    let no_id = r#"{"resourceType":"Patient","active":true}"#;
    let paths = [
        site.file("a.json", TRANSACTION),
        site.file("b.json", no_id),
        site.file("c.ndjson", format!("{no_id}\n{no_id}\n")),
    ];
    assert!(site.import(&paths).is_clean());
    let (counts, seq) = (site.counts(), site.last_seq());
    assert_eq!(counts.get("Patient"), Some(&4));
    let second = site.import(&paths);
    assert!(
        second
            .files
            .iter()
            .all(|file| file.outcome == Outcome::Skipped)
    );
    let third = site.run(&paths, true);
    assert!(third.is_clean());
    let known: u64 = third.counts().values().map(|count| count.known).sum();
    assert_eq!(known, 5);
    assert_eq!((site.counts(), site.last_seq()), (counts, seq));
}

#[test]
fn rejects_are_named_and_the_rest_comes_in() {
    let site = Site::new();
    let mut lines: Vec<String> = (1..=250)
        .map(|n| PATIENT.replace("p1", &format!("n{n}")))
        .collect();
    lines[9] = r#"{"resourceType":"Patient","id":"n10","name":[{"famly":"x"}]}"#.to_owned();
    lines[119] = "{".to_owned();
    lines[239] = r#"{"resourceType":"Patient","id":"n_240"}"#.to_owned();
    site.file("a.ndjson", lines.join("\n"));
    site.file(
        "b.json",
        TRANSACTION.replace("\"active\":true", "\"active\":1"),
    );
    site.file("c.json", "{");
    site.file("d.json", r#"{"resourceType":"Bundle","type":"history"}"#);
    site.file("e.json", r#"{"id":"x"}"#);
    site.file("f.json.gz", &gzip(PATIENT)[..20]);
    let report = site.import(&[site.folder.path().to_owned()]);
    assert_snapshot!(report.lines().join("\n"), @"
    a.ndjson line 10 Patient.name[0].famly: E-VAL-5: R4 has no such element here
    a.ndjson line 120: E-JSON-2: malformed JSON at byte 2: expected a key in quotes
    a.ndjson line 240 request.url: E-ROUTE-2: an id has 1 to 64 letters, digits, - or .
    b.json entry 0 Patient.active: E-VAL-13: true or false is wanted here
    c.json: E-JSON-2: malformed JSON at byte 1: expected a key in quotes
    d.json: E-IMPORT-10: a Bundle of type history is no input; take a collection or transaction
    e.json: E-IMPORT-11: no resource: resourceType is missing
    f.json.gz: E-IMPORT-4: cannot be unpacked: incomplete deflate stream
    Patient                             247 created        0 known
    6 files: 247 resources created, 0 known before, 8 rejects
    ");
    assert_eq!(site.counts().get("Patient"), Some(&247));
    assert_eq!(site.counts().get("Basic"), None);
    // Rejected files are tried again.
    let again = site.import(&[site.folder.path().to_owned()]);
    assert!(
        again
            .files
            .iter()
            .all(|file| file.outcome == Outcome::Imported)
    );
}

#[test]
fn ndjson_goes_on_where_it_stopped() {
    let site = Site::new();
    let lines: Vec<String> = (1..=10)
        .map(|n| PATIENT.replace("p1", &format!("n{n}")))
        .collect();
    let path = site.file("a.ndjson", lines.join("\n"));
    let source = Source::read(&path).unwrap();
    let door = Door::here(site.repository.clone());
    door.set_mark(&source.digest, &Mark::at_line(7)).unwrap();
    assert_eq!(door.mark(&source.digest).unwrap(), Mark::at_line(7));
    let report = site.import(&[path]);
    assert_eq!(report.files[0].resumed_after, 7);
    assert_eq!(site.counts().get("Patient"), Some(&3));
    assert_eq!(door.mark(&source.digest).unwrap(), Mark::done());
}

#[test]
fn long_lines_are_passed_over_in_bounded_memory() {
    let too_long = usize::try_from(files::LINE_BYTES_MAX).unwrap() + 10;
    let mut text = vec![b'x'; too_long];
    text.extend(b"\n{}\n");
    let mut reader = std::io::BufReader::new(text.as_slice());
    assert!(matches!(files::next_line(&mut reader), Ok(Line::TooLong)));
    assert!(matches!(files::next_line(&mut reader), Ok(Line::Json(_))));
    assert!(matches!(files::next_line(&mut reader), Ok(Line::End)));
}

#[test]
fn missing_files_are_a_wrong_command_line() {
    let missing = files::expand(&[PathBuf::from("/no/such/file.json")]).unwrap_err();
    assert!(missing.is_usage && missing.text.contains("E-IMPORT-8"));
    let empty = tempfile::tempdir().unwrap();
    let nothing = files::expand(&[empty.path().to_owned()]).unwrap_err();
    assert!(nothing.is_usage && nothing.text.contains("E-IMPORT-9"));
}

/// Resources by type in the Bundle files of a folder. Entries with equal If-None-Exist count once.
fn counts_in_files(folder: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut conditions = std::collections::BTreeSet::new();
    for path in files::expand(&[folder.to_owned()]).unwrap() {
        let source = Source::read(&path).unwrap();
        let Ok(Document::Json(bundle)) = source.document(&ProgressBar::hidden()) else {
            panic!("{path:?} is no JSON");
        };
        for entry in bundle.items("entry") {
            let kind = entry.get("resource").unwrap().resource_type().unwrap();
            let condition = entry.str_at(&["request", "ifNoneExist"]);
            if condition.is_none_or(|c| conditions.insert(format!("{kind}?{c}"))) {
                *counts.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

#[test]
fn synthea_comes_in_without_a_reject() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/synthea");
    let folder = Path::new(folder);
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let site = Site::new();
    let report = site.import(&[folder.to_owned()]);
    assert!(report.is_clean(), "{}", report.lines().join("\n"));
    assert_eq!(report.files.len(), 22);
    assert_eq!(site.counts(), counts_in_files(folder));
    let second = site.import(&[folder.to_owned()]);
    assert!(
        second
            .files
            .iter()
            .all(|file| file.outcome == Outcome::Skipped)
    );
}
