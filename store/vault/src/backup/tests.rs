use super::*;
use crate::{Master, Secret, Slots, VaultError, files};
use std::path::Path;
use store::{
    Keys, NewVersion, OpenOptions, Origin, OriginKind, ResourceKey, Store, Term, Urgency,
    VersionId, WriteSet,
};
use zeroize::Zeroizing;

const NAMES: [&str; 3] = ["Kipchoge", "Wanjiku", "Achieng"];

fn random(buffer: &mut [u8]) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CALLS: AtomicU64 = AtomicU64::new(1);
    for chunk in buffer.chunks_mut(8) {
        let x = CALLS.fetch_add(1, Ordering::Relaxed);
        let x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bytes = (x ^ (x >> 31)).to_be_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 26,
        queue_length_max: 10,
        random,
    }
}

fn sheet() -> Secret {
    Secret::Recovery(Zeroizing::new([3; 32]))
}

struct Site {
    folder: tempfile::TempDir,
    store: Store,
    slots: Slots,
    shelf: Folder,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let key = Keys {
        key_encryption_key: [1; 32],
    };
    let store = Store::open(options(&folder.path().join("data")), key).unwrap();
    let mut slots = Slots::new(random);
    let master = Master {
        current: Zeroizing::new([1; 32]),
    };
    let file = Secret::KeyFile(Zeroizing::new([2; 32]));
    for secret in [&file, &sheet()] {
        slots.add(&master, (secret, None), (random, 0)).unwrap();
    }
    let shelf = Folder::new(&folder.path().join("backup"));
    shelf.make().unwrap();
    Site {
        folder,
        store,
        slots,
        shelf,
    }
}

impl Site {
    fn write(&self, from: u64, until: u64, version: u64) {
        let new = |id: u64| NewVersion {
            key: ResourceKey {
                resource_type: "Patient".to_owned(),
                id: id.to_string(),
            },
            version: VersionId(version),
            body: format!(
                "{{\"name\":\"{}\",\"n\":{id}}}",
                NAMES[usize::try_from(id % 3).unwrap()]
            )
            .into_bytes(),
            deleted: false,
            becomes_head: true,
            making: store::Making::Untold,
            review_open: None,
            terms_added: vec![Term(format!("name {}", id % 100).into_bytes())],
            terms_removed: Vec::new(),
            values: b"values of Kipchoge".to_vec(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 1,
            },
            urgency: Urgency::Bulk,
            time_ms: 1,
            hlc: 1,
        };
        let set = WriteSet {
            versions: (from..until).map(new).collect(),
            audit: vec![b"entry of Wanjiku".to_vec()],
            ..WriteSet::default()
        };
        self.store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
    }

    fn take(&self, now_ms: i64) -> Taken {
        take(&self.store, &self.slots, &self.shelf, (random, now_ms)).unwrap()
    }

    fn opened(&self) -> Opened<'_> {
        open(&self.shelf, &sheet(), random).unwrap()
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let root = self.folder.path().join("backup");
        let mut found = vec![root.join("backup.json")];
        for folder in ["packs", "manifests"] {
            let entries = std::fs::read_dir(root.join(folder)).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found
    }
}

#[test]
fn a_restored_store_is_equal_row_by_row() {
    let site = site();
    (0..8).for_each(|part| site.write(part * 1000, (part + 1) * 1000, 1));
    let first = site.take(1000);
    site.write(0, 10, 2);
    let second = site.take(2000);
    assert!(second.chunks_new * 2 < second.chunks, "{second:?}");
    assert!(second.bytes_new * 2 < first.bytes_new, "{second:?}");
    let opened = site.opened();
    let names: Vec<String> = opened.list().unwrap().into_iter().map(|b| b.name).collect();
    assert_eq!(names, [first.name.clone(), second.name.clone()]);
    for (taken, seq) in [(first, 8000), (second, 8010)] {
        let proof = opened.verify(&taken.name).unwrap();
        assert_eq!(
            (proof.digest.clone(), proof.seq),
            (taken.digest.clone(), seq)
        );
        let to = site.folder.path().join(format!("restored{seq}"));
        let restored = opened
            .restore(&taken.name, &options(&to), (None, 5))
            .unwrap();
        assert_eq!(restored, proof);
        let slots = Slots::load(&to).unwrap().unwrap();
        let master = slots.unlock(&sheet()).unwrap();
        let keys = Keys {
            key_encryption_key: *master.current,
        };
        let store = Store::open(options(&to), keys).unwrap();
        assert_eq!(digest_of_store(&store).unwrap(), taken.digest);
        assert_eq!(store.verify(None).unwrap().findings_total, 0);
        assert_eq!(store.stats().unwrap().last_seq.0, seq);
        let (before, now) = (site.store.incarnations(), store.incarnations());
        let (before, now) = (before.unwrap(), now.unwrap());
        assert_eq!((now.last().after.0, now.last().time_ms), (seq, 5));
        assert_eq!(
            &now.all()[..1],
            before.all(),
            "another life behind the former"
        );
        assert_ne!(now.last().id, before.last().id);
    }
    assert!(
        opened
            .restore(
                &names[0],
                &options(&site.folder.path().join("data")),
                (None, 5)
            )
            .is_err()
    );
}

#[test]
fn an_unchanged_store_writes_no_chunk_again() {
    let site = site();
    site.write(0, 500, 1);
    let first = site.take(1000);
    let again = site.take(1000);
    assert_eq!((again.chunks_new, again.bytes_new), (0, 0));
    assert_eq!(again.digest, first.digest);
    assert!(
        again.time_ms > first.time_ms,
        "two backups never have one name"
    );
}

#[test]
fn every_flip_and_every_cut_is_refused_before_anything_is_there() {
    let site = site();
    site.write(0, 300, 1);
    let taken = site.take(1000);
    let to = site.folder.path().join("restored");
    let try_all = || {
        let opened = open(&site.shelf, &sheet(), random)?;
        opened.verify(&taken.name)?;
        opened.restore(&taken.name, &options(&to), (None, 5))
    };
    let mut tries = 0;
    for path in site.files() {
        let sound = std::fs::read(&path).unwrap();
        let step = (sound.len() / 60).max(1);
        for at in (0..sound.len()).step_by(step) {
            if path.ends_with("backup.json") && sound[at].is_ascii_whitespace() {
                continue;
            }
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 7);
            std::fs::write(&path, &damaged).unwrap();
            assert!(try_all().is_err(), "{} byte {at}", path.display());
            std::fs::write(&path, &sound[..at]).unwrap();
            assert!(try_all().is_err(), "{} cut at {at}", path.display());
            tries += 2;
        }
        std::fs::remove_file(&path).unwrap();
        assert!(try_all().is_err());
        std::fs::write(&path, &sound).unwrap();
        assert!(!to.join("data.mdb").exists());
    }
    assert!(tries > 300);
    try_all().unwrap();
}

#[test]
fn no_backup_names_anybody_and_a_wrong_key_opens_none() {
    let site = site();
    site.write(0, 300, 1);
    site.take(1000);
    for path in site.files() {
        let bytes = std::fs::read(&path).unwrap();
        for name in NAMES {
            let hit = bytes.windows(name.len()).any(|w| w == name.as_bytes());
            assert!(!hit, "{name} in {}", path.display());
        }
    }
    let wrong = Secret::Recovery(Zeroizing::new([9; 32]));
    let error = open(&site.shelf, &wrong, random).err().unwrap();
    assert!(matches!(error, VaultError::Refused(_)), "{error}");
    let file = Secret::KeyFile(Zeroizing::new([2; 32]));
    assert!(open(&site.shelf, &file, random).is_ok());
    let nowhere = Folder::new(&site.folder.path().join("nowhere"));
    assert!(matches!(
        open(&nowhere, &file, random).err(),
        Some(VaultError::NoBackup)
    ));
}

/// What a crash leaves before the manifest is there are packs that nothing names.
#[test]
fn a_backup_cut_off_leaves_the_one_before() {
    let site = site();
    site.write(0, 300, 1);
    let first = site.take(1000);
    site.write(300, 900, 1);
    let second = site.take(2000);
    std::fs::remove_file(site.folder.path().join("backup").join(&second.name)).unwrap();
    files::write_once(&site.folder.path().join("backup/packs/half.77"), b"x").unwrap();
    let opened = site.opened();
    assert_eq!(opened.list().unwrap().len(), 1);
    assert_eq!(opened.verify(&first.name).unwrap().seq, 300);
    let third = site.take(3000);
    assert_eq!(opened.verify(&third.name).unwrap().seq, 900);
    let keep = Keep {
        daily: 1,
        weekly: 0,
        monthly: 0,
    };
    let (backups, packs) = prune(&opened, keep).unwrap();
    assert_eq!(backups, 1);
    assert!(packs >= 2, "{packs}");
    assert_eq!(opened.verify(&third.name).unwrap().seq, 900);
}

#[test]
fn another_store_is_not_mixed_in() {
    let (one, other) = (site(), site());
    one.write(0, 10, 1);
    one.take(1000);
    let mixed = take(&other.store, &other.slots, &one.shelf, (random, 2000));
    assert!(matches!(mixed, Err(VaultError::OtherStore(_))), "{mixed:?}");
}

#[test]
fn what_was_found_of_a_backup_stands_beside_it_and_goes_with_it() {
    let site = site();
    site.write(0, 10, 1);
    let first = site.take(1000);
    let opened = site.opened();
    assert_eq!(opened.last_check(&first.name).unwrap(), None);
    let check = Check {
        time_ms: 5,
        depth: Depth::Restored,
        is_sound: true,
        text: "10 rows".to_owned(),
    };
    opened.note(&first.name, &check).unwrap();
    assert_eq!(opened.last_check(&first.name).unwrap(), Some(check.clone()));
    let second = site.take(2000);
    assert_eq!(opened.last_check(&second.name).unwrap(), None);
    let day_ms = 24 * 60 * 60 * 1000;
    let third = site.take(2 * day_ms);
    opened.note(&third.name, &check).unwrap();
    let keep = Keep {
        daily: 1,
        weekly: 0,
        monthly: 0,
    };
    assert_eq!(prune(&opened, keep).unwrap().0, 2);
    assert_eq!(site.shelf.list("checks").unwrap().len(), 1);
    // A note of one is none of another, and a damaged one is none.
    let path = site.folder.path().join("backup/checks");
    let path = std::fs::read_dir(path).unwrap().next().unwrap();
    let path = path.unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(opened.last_check(&third.name).unwrap(), None);
}

/// Cut at every byte, and 300 flips anywhere: refused before a store is there.
#[test]
fn no_cut_and_no_flip_of_a_small_backup_is_taken_for_a_backup() {
    let site = site();
    site.write(0, 3, 1);
    let taken = site.take(1000);
    let to = site.folder.path().join("restored");
    let is_refused = |is_restored: bool| {
        let opened = match open(&site.shelf, &sheet(), random) {
            Ok(opened) => opened,
            Err(_) => return true,
        };
        let is_refused = opened.verify(&taken.name).is_err();
        let restored = is_restored
            && opened
                .restore(&taken.name, &options(&to), (None, 5))
                .is_ok();
        is_refused && !restored && !to.join("data.mdb").exists()
    };
    let mut files = site.files();
    files.sort();
    for path in &files {
        let sound = std::fs::read(path).unwrap();
        for length in 0..sound.len() {
            std::fs::write(path, &sound[..length]).unwrap();
            let is_tried = length % 500 == 499;
            assert!(is_refused(is_tried), "{} cut at {length}", path.display());
        }
        std::fs::write(path, &sound).unwrap();
    }
    let mut state = 7_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % limit
    };
    for round in 0..300 {
        let path = &files[below(files.len())];
        let sound = std::fs::read(path).unwrap();
        let (at, bit) = (below(sound.len()), below(8));
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << bit;
        // White space between the words of the ways is nobody's loss.
        let is_space = path.ends_with("backup.json")
            && (sound[at].is_ascii_whitespace() || damaged[at].is_ascii_whitespace());
        if !is_space {
            std::fs::write(path, &damaged).unwrap();
            assert!(is_refused(round % 10 == 0), "{} {at}", path.display());
            std::fs::write(path, &sound).unwrap();
        }
    }
    assert!(!is_refused(true));
    assert!(to.join("data.mdb").exists());
}
