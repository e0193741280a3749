//! A power cut at every moment: all writes to the data file and the log are written down, and at each
//! sync the disk is left with what was synced and with some of what was not, in any order and torn.
//! Each such image opens, holds every acknowledged write, and nothing half.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::Event;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use store::{OpenOptions, Store, WriteSet};

/// A disk writes so much at once, or nothing of it.
const SECTOR_BYTES: usize = 512;
/// Images of each moment beside the two plain ones.
const TORN_IMAGES: u64 = 3;

/// Two resources and an audit entry in one write set, so that a half would show.
fn pair(number: u64, length: usize) -> WriteSet {
    let mut noise = vec![0; length];
    support::random(&mut noise);
    let noise: String = noise.iter().map(|b| char::from(b'!' + b % 90)).collect();
    let versions = ["a", "b"].map(|side| support::version(&format!("{side}{number}"), 1, &noise));
    WriteSet {
        versions: versions.to_vec(),
        audit: vec![number.to_be_bytes().to_vec()],
        ..WriteSet::default()
    }
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        map_size_bytes: 1 << 18,
        ..support::options(folder)
    }
}

/// Small groups, a quiet moment, folds, a log that is lengthened, a map that grows, a clean stop.
fn script(folder: &Path) {
    let store = Store::open(options(folder), support::keys()).unwrap();
    let lengths = [300, 300, 5_000, 300, 300, 60_000, 300, 300, 300];
    for (number, length) in (1..).zip(lengths) {
        support::write(&store, pair(number, length));
        disk::acknowledged(number);
        match number {
            3 => std::thread::sleep(Duration::from_millis(400)),
            5 | 7 => store.fold().unwrap(),
            _ => {}
        }
    }
    store.close();
}

type Files = BTreeMap<String, Vec<u8>>;

/// The disk: what is certainly on it, and what was written since the last sync of each file.
#[derive(Default)]
struct Sim {
    durable: Files,
    waiting: BTreeMap<String, Vec<Event>>,
}

fn put(files: &mut Files, file: &str, at: usize, bytes: &[u8]) {
    let content = files.entry(file.to_owned()).or_default();
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Does what an event says, sector by sector as far as `keeps` says so.
fn apply(files: &mut Files, event: &Event, mut keeps: impl FnMut() -> bool) {
    match event {
        Event::Wrote {
            file, at, bytes, ..
        } => {
            let first = SECTOR_BYTES - at % SECTOR_BYTES;
            let (head, rest) = bytes.split_at(first.min(bytes.len()));
            let mut at = *at;
            for sector in std::iter::once(head).chain(rest.chunks(SECTOR_BYTES)) {
                if keeps() {
                    put(files, file, at, sector);
                }
                at += sector.len();
            }
        }
        Event::Length { file, bytes } => {
            if keeps() {
                files.entry(file.clone()).or_default().resize(*bytes, 0);
            }
        }
        Event::Synced { .. } | Event::Acknowledged(_) => {}
    }
}

impl Sim {
    /// What may be on the disk now: nothing that waits, all of it, and pieces.
    fn images(&self, seed: u64) -> Vec<Files> {
        let mut images = vec![self.durable.clone(), self.image(|| true)];
        for torn in 0..TORN_IMAGES {
            let mut x = (seed * TORN_IMAGES + torn + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            images.push(self.image(|| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x & 1 == 1
            }));
        }
        images
    }

    fn image(&self, mut keeps: impl FnMut() -> bool) -> Files {
        let mut files = self.durable.clone();
        for event in self.waiting.values().flatten() {
            apply(&mut files, event, &mut keeps);
        }
        files
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Wrote { durable: true, .. } => apply(&mut self.durable, event, || true),
            Event::Wrote { file, .. } | Event::Length { file, .. } => {
                let waiting = self.waiting.entry(file.clone()).or_default();
                waiting.push(event.clone());
            }
            Event::Synced { file } => {
                for event in self.waiting.remove(file).unwrap_or_default() {
                    apply(&mut self.durable, &event, || true);
                }
            }
            Event::Acknowledged(_) => {}
        }
    }
}

fn check(image: &Files, place: &Path, acknowledged: u64, case: &str) {
    fs::create_dir(place).unwrap();
    for (name, bytes) in image {
        fs::write(place.join(name), bytes).unwrap();
    }
    let store = Store::open(options(place), support::keys())
        .unwrap_or_else(|error| panic!("{case}: it does not open: {error}"));
    let report = store.verify(None).unwrap();
    assert_eq!(report.findings, vec![], "{case}");
    assert!(report.audit_entries >= acknowledged, "{case}: {report:?}");
    assert_eq!(report.heads, 2 * report.audit_entries, "{case}");
    support::write(&store, pair(1_000_000, 300));
    store.close();
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn no_moment_of_a_power_cut_loses_what_was_acknowledged() {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let live = folder.path().join("live");
    let store = Store::open(options(&live), support::keys()).unwrap();
    support::write(&store, pair(0, 300));
    store.close();
    let mut sim = Sim::default();
    for name in ["data.mdb", "log.0", "log.1"] {
        let bytes = fs::read(live.join(name)).unwrap();
        sim.durable.insert(name.to_owned(), bytes);
    }
    disk::record(&live);
    script(&live);
    let (_, events) = disk::end();
    // One write set was there before.
    let (mut acknowledged, mut images) = (1, 0);
    for (moment, event) in (0..).zip(&events) {
        if let Event::Acknowledged(count) = event {
            acknowledged = count + 1;
        }
        let is_end = matches!(
            event,
            Event::Synced { .. } | Event::Wrote { durable: true, .. }
        );
        if is_end {
            for (number, image) in sim.images(moment).iter().enumerate() {
                let case = format!("event {moment} of {}, image {number}", events.len());
                check(image, &folder.path().join("image"), acknowledged, &case);
                images += 1;
            }
        }
        sim.happen(event);
    }
    let end = sim.image(|| true);
    check(&end, &folder.path().join("image"), 10, "the end");
    println!("{images} images");
    assert!(images > 80, "{images} images of {} events", events.len());
}
