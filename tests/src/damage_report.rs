//! The part of the store's report that is about damage: bit rot and power cuts, each beside what it is held
//! to.
#![allow(clippy::print_stdout)] // a report prints

use crate::cuts::{self, Disk, Phase, Stage};
use crate::rot;
use crate::site::{Site, wayside};
use std::path::Path;

/// One line of the report: what, the figure, and whether it is what it is held to.
pub type Verdict = fn(&str, u64, bool);

/// Flips of one bit in the data file of a stopped store.
pub fn bit_rot((data, folder): (&Path, &Path), flips: u64, verdict: Verdict) {
    println!("bit rot, {flips} flips of one bit in the data file");
    let found = rot::run(flips, 1, (data, folder), |line| println!("    {line}"));
    for (table, count) in &found.by_table {
        println!("    found in {table:<10} {count:>6}");
    }
    println!("    in pages that nothing uses {:>6}", found.unseen);
    verdict(
        "wrong answers of an export (0)",
        found.wrong,
        found.wrong == 0,
    );
    verdict(
        "subcommands that died of it (0)",
        found.died,
        found.died == 0,
    );
}

/// Power cuts under writers and in each phase; says so where this machine permits none.
pub async fn power_cuts(folder: &Path, (rounds, in_phase): (u64, u64), verdict: Verdict) {
    println!("power cuts on a disk of its own, {rounds} rounds and {in_phase} in each phase");
    let disk = match Disk::make(folder, 256) {
        Ok(disk) => disk,
        Err(why) => return println!("    skipped: {why}"),
    };
    let tell = |line| println!("    {line}");
    let found = cuts::under_writers(rounds, 1, &disk, tell).await;
    verdict("acknowledged writes lost (0)", found.lost, found.lost == 0);
    let half = found.half_applied;
    verdict("Bundles half applied (0)", half, half == 0);
    verdict(
        "rounds found unsound (0)",
        found.unsound,
        found.unsound == 0,
    );
    let scratch = folder.join("phases");
    for phase in Phase::ALL {
        let before = scratch.join(format!("before-{phase:?}"));
        prepare(phase, &before);
        let stage = Stage::new(phase, &before, &scratch);
        let wrong = cuts::in_phase((phase, in_phase), &stage, &disk, tell);
        verdict(
            &format!("{}: a third state (0)", phase.name()),
            wrong,
            wrong == 0,
        );
    }
}

/// A folder as it is before the phase.
fn prepare(phase: Phase, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let data = folder.join("data");
    match phase {
        Phase::FirstStart => {}
        Phase::Upgrade => older(&data),
        Phase::Backup | Phase::Restore | Phase::Rotation => {
            fill(&data, 0);
            let (stick, text) = (folder.join("stick"), data.to_string_lossy().into_owned());
            if phase != Phase::Rotation {
                let (code, said) = wayside(&["backup", &stick.to_string_lossy(), "--data", &text]);
                assert_eq!(code, 0, "{said}");
                // So that what is stored, and what is backed up, differ.
                fill(&data, 1);
            }
        }
    }
}

fn fill(data: &Path, part: u64) {
    assert!(Site::start(data, &[]).terminate());
    let lines: String = (0..400)
        .map(|number| {
            format!("{{\"resourceType\":\"Basic\",\"id\":\"b{part}-{number}\",\"code\":{{\"text\":\"{number}\"}}}}\n")
        })
        .collect();
    let file = data.with_extension(format!("{part}.ndjson"));
    std::fs::write(&file, lines).unwrap();
    let (data, name) = (data.to_string_lossy(), file.to_string_lossy());
    let (code, said) = wayside(&["import", &name, "--data", &data]);
    assert_eq!(code, 0, "{said}");
    std::fs::remove_file(file).unwrap();
}

/// A store as a program before the log wrote it, with its key beside it.
fn older(data: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/fixtures/format-1");
    std::fs::create_dir_all(data).unwrap();
    let packed = std::fs::File::open(fixture.join("data.mdb.zst")).unwrap();
    let bytes = zstd::decode_all(packed).unwrap();
    std::fs::write(data.join("data.mdb"), bytes).unwrap();
    let key = data.with_extension("key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    let owner_alone = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&key, owner_alone.clone()).unwrap();
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).unwrap();
}
