//! Bit rot: a store's files are damaged at random while nobody has them open, and what the gateway
//! says of them is held against what was there.

use crate::random::Random;
use crate::site::wayside;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What became of the damaged copies.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rot {
    /// How many were found first in which database; `start` where the folder was refused.
    pub by_table: BTreeMap<String, u64>,
    pub flips: u64,
    /// `wayside verify` named the damage, or the start was refused.
    pub found: u64,
    /// Nothing was found, and everything exported is as it was: a page that nothing uses.
    pub unseen: u64,
    /// Something was exported that was never stored, or nothing was found and the export differs.
    /// Must be zero.
    pub wrong: u64,
    /// A subcommand died of a signal: no answer, so none that is wrong.
    pub died: u64,
}

/// Damages the stopped store of `data` again and again, one bit at a time; the copies lie in `folder`.
pub fn run(flips: u64, seed: u64, (data, folder): (&Path, &Path), tell: impl Fn(String)) -> Rot {
    let copy = folder.join("rotten");
    let whole = std::fs::read(data.join("data.mdb")).unwrap();
    std::fs::create_dir_all(&copy).unwrap();
    // Keys and the rest lie beside the folder and in it.
    std::fs::copy(data.with_extension("key"), copy.with_extension("key")).unwrap();
    std::fs::copy(data.join("keys.json"), copy.join("keys.json")).unwrap();
    let text = copy.to_string_lossy().into_owned();
    std::fs::write(copy.join("data.mdb"), &whole).unwrap();
    let (code, before) = wayside(&["export", "--data", &text]);
    assert_eq!(code, 0, "{before}");
    let mut random = Random::new(seed);
    let mut rot = Rot::default();
    for _ in 0..flips {
        for name in ["log.0", "log.1", "lock.mdb"] {
            let _absent = std::fs::remove_file(copy.join(name)).is_err();
        }
        let mut damaged = whole.clone();
        let at = random.between(0, u64::try_from(whole.len()).unwrap());
        damaged[usize::try_from(at).unwrap()] ^= 1 << random.between(0, 8);
        std::fs::write(copy.join("data.mdb"), &damaged).unwrap();
        judge(&text, &before, &mut rot);
        if rot.flips % 50 == 0 || rot.flips == flips {
            tell(format!("{rot:?}"));
        }
    }
    rot
}

fn judge(copy: &str, before: &str, rot: &mut Rot) {
    rot.flips += 1;
    let (code, said) = wayside(&["verify", "--data", copy]);
    let (ended, after) = wayside(&["export", "--data", copy]);
    if code == -1 || ended == -1 {
        return rot.died += 1;
    }
    // What is damaged is left out or ends the export, and all else is as it was.
    let known: HashSet<&str> = before.lines().collect();
    let mut resources = after.lines().filter(|line| line.starts_with('{'));
    let is_right = resources.all(|line| known.contains(line));
    match code {
        0 if ended == 0 && after == before => rot.unseen += 1,
        0 => rot.wrong += 1,
        _ => {
            rot.found += 1;
            rot.wrong += u64::from(!is_right);
            *rot.by_table.entry(table_of(&said)).or_default() += 1;
        }
    }
}

/// The database of the first finding.
fn table_of(said: &str) -> String {
    let finding = |line: &str| {
        let (table, _) = line.split_once(": ")?;
        let is_name = table.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_name && table != "wayside").then(|| table.to_owned())
    };
    said.lines()
        .find_map(finding)
        .unwrap_or_else(|| "start".to_owned())
}
