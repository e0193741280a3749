//! Power cuts under writers, and in the middle of a first start, an upgrade, a backup, a restore and a
//! change of keys: afterwards the old or the new state is there, never a third, and nobody needs to
//! do anything by hand.

#![allow(clippy::disallowed_methods)] // measures real time

mod disk;

pub use disk::Disk;

use crate::kills::{self, Findings, Play};
use crate::random::Random;
use crate::site::{Site, binary, wayside};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Rounds under 16 writers, on one store that lives on.
pub async fn under_writers(rounds: u64, seed: u64, disk: &Disk, tell: impl Fn(String)) -> Findings {
    let data = disk.mount.join("data");
    let mut random = Random::new(seed);
    let mut findings = Findings::default();
    for number in 0..rounds {
        let play = Play {
            round: number,
            may_fail: true,
        };
        let log = kills::Log::default();
        let site = Site::start(&data, &["--leave-read-only"]);
        let writers = kills::start_writers(play, &mut random, site.http, &log);
        tokio::time::sleep(Duration::from_millis(random.between(40, 800))).await;
        disk.cut();
        site.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        disk.again();
        let (code, text) = wayside(&["verify", "--data", &text_of(&data)]);
        if code != 0 {
            findings.unsound += 1;
            tell(format!("round {number}: wayside verify says {text}"));
        }
        kills::check(&log, &data, &mut findings).await;
        findings.rounds += 1;
        if (number + 1) % 20 == 0 || number + 1 == rounds {
            tell(format!("{findings:?}"));
        }
    }
    findings
}

/// The moments at which a power cut is dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    FirstStart,
    Upgrade,
    Backup,
    Restore,
    Rotation,
}

impl Phase {
    pub const ALL: [Phase; 5] = [
        Phase::FirstStart,
        Phase::Upgrade,
        Phase::Backup,
        Phase::Restore,
        Phase::Rotation,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Phase::FirstStart => "first start",
            Phase::Upgrade => "upgrade of a store of format 1",
            Phase::Backup => "backup",
            Phase::Restore => "restore over a store",
            Phase::Rotation => "change of the master key",
        }
    }

    fn command(self) -> &'static [&'static str] {
        match self {
            Phase::FirstStart | Phase::Upgrade => &[
                "serve",
                "--open",
                "--listen",
                "127.0.0.1:0",
                "--mllp",
                "127.0.0.1:0",
                "--data",
                "data",
            ],
            Phase::Backup => &["backup", "stick", "--data", "data"],
            Phase::Restore => &["restore", "stick", "--data", "data", "--replace"],
            Phase::Rotation => &["keys", "rotate", "--data", "data"],
        }
    }
}

/// What a site looks like before a phase, made once, and what it may hold after it.
pub struct Stage {
    folder: PathBuf,
    /// Every export that is right after a cut.
    allowed: Vec<String>,
    /// Milliseconds that the phase takes when nobody cuts it.
    takes_ms: u64,
}

impl Stage {
    /// `before` is a folder with `data`, its keys, and perhaps `stick`.
    pub fn new(phase: Phase, before: &Path, scratch: &Path) -> Stage {
        let folder = scratch.join(format!("{phase:?}"));
        copy(before, &folder);
        let whole = scratch.join(format!("{phase:?}-whole"));
        copy(before, &whole);
        let mut allowed = Vec::new();
        if phase != Phase::FirstStart {
            allowed.push(exported(&whole));
        }
        let begun = std::time::Instant::now();
        if matches!(phase, Phase::FirstStart | Phase::Upgrade) {
            assert!(Site::start(&whole.join("data"), &[]).terminate());
        } else {
            let ended = spawn(phase, &whole).wait().unwrap();
            assert!(ended.success(), "{phase:?} without a cut");
        }
        let takes_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
        allowed.push(exported(&whole));
        Stage {
            folder,
            allowed,
            takes_ms,
        }
    }
}

/// Rounds of one phase; how many ended in a third state, each told.
pub fn in_phase(
    (phase, rounds): (Phase, u64),
    stage: &Stage,
    disk: &Disk,
    tell: impl Fn(String),
) -> u64 {
    let mut random = Random::new(7);
    let mut wrong = 0;
    for round in 0..rounds {
        clear(&disk.mount);
        copy(&stage.folder, &disk.mount);
        sync(&disk.mount);
        let mut child = spawn(phase, &disk.mount);
        let after_ms = random.between(0, stage.takes_ms * 5 / 4);
        std::thread::sleep(Duration::from_millis(after_ms));
        disk.cut();
        child.kill().ok();
        child.wait().unwrap();
        disk.again();
        if let Err(why) = judged(phase, stage, &disk.mount) {
            wrong += 1;
            tell(format!("round {round}, cut after {after_ms} ms: {why}"));
        }
    }
    wrong
}

/// Old or new, without anybody's help?
fn judged(phase: Phase, stage: &Stage, place: &Path) -> Result<(), String> {
    let data = place.join("data");
    if phase == Phase::FirstStart {
        // What the cut left is completed by a start like the first.
        assert!(Site::start(&data, &[]).terminate());
    }
    let (code, text) = wayside(&["verify", "--data", &text_of(&data)]);
    if code != 0 {
        return Err(format!("verify: {text}"));
    }
    if !stage.allowed.contains(&exported(place)) {
        return Err("what is stored is neither the old nor the new".to_owned());
    }
    let stick = place.join("stick");
    if phase == Phase::Backup && stick.exists() {
        let (data, stick) = (text_of(&data), text_of(&stick));
        let (code, text) = wayside(&["backup", &stick, "--data", &data]);
        if code != 0 {
            return Err(format!("the next backup: {text}"));
        }
        let (code, text) = wayside(&["backup", "verify", &stick, "--data", &data]);
        if code != 0 {
            return Err(format!("backup verify: {text}"));
        }
    }
    Ok(())
}

fn spawn(phase: Phase, place: &Path) -> std::process::Child {
    Command::new(binary())
        .args(phase.command())
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every resource, line by line; the order is that of the store.
fn exported(place: &Path) -> String {
    let data = text_of(&place.join("data"));
    let (code, text) = wayside(&["export", "--data", &data]);
    assert_eq!(code, 0, "{text}");
    text
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }
}

/// With the modes of files: keys that others may read are refused.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// What was prepared is on the disk before the phase begins.
fn sync(folder: &Path) {
    let file = std::fs::File::open(folder).unwrap();
    rustix::fs::syncfs(&file).unwrap();
}
