//! A disk that really fills up: a small file system in memory, where the machine lets us mount one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says when it was skipped"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::{CommitError, Store, StoreError};

struct Mounted(PathBuf);

impl Mounted {
    /// 48 MiB of its own; `None` where mounting is not allowed.
    fn at(folder: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "none"])
            .arg(folder)
            .output();
        mount.ok().filter(|mount| mount.status.success())?;
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn noise(length: usize) -> String {
    let mut bytes = vec![0; length];
    support::random(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(b'!' + byte % 90))
        .collect()
}

fn write(store: &Store, id: &str, body: &str) -> Result<(), StoreError> {
    let set = support::set_of(vec![support::version(id, 1, body)]);
    match store.commit(move |_| Ok::<_, ()>((set, ()))) {
        Ok(_) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
        Err(CommitError::Refused(())) => panic!("refused"),
    }
}

#[test]
fn a_full_disk_answers_full_reads_go_on_and_writing_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::at(folder.path()) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let store = support::open(&mounted.0.join("store"));
    write(&store, "first", "{}").unwrap();
    // Enough is free before the commit, and not enough for it: LMDB itself meets the end.
    let filler = mounted.0.join("filler");
    fs::write(&filler, vec![1; 29 << 20]).unwrap();
    assert!(matches!(
        write(&store, "huge", &noise(24 << 20)),
        Err(StoreError::Full)
    ));
    write(&store, "second", "{}").unwrap();
    // Less than the reserve is free: nothing is tried.
    fs::write(mounted.0.join("more"), vec![1; 10 << 20]).unwrap();
    for number in 0..3 {
        assert!(matches!(
            write(&store, &format!("n{number}"), "{}"),
            Err(StoreError::Full)
        ));
    }
    let snapshot = store.snapshot().unwrap();
    assert!(
        snapshot
            .view()
            .head(&support::key("second"))
            .unwrap()
            .is_some()
    );
    assert!(
        snapshot
            .view()
            .head(&support::key("huge"))
            .unwrap()
            .is_none()
    );
    drop(snapshot);
    fs::remove_file(filler).unwrap();
    write(&store, "third", "{}").unwrap();
    store.close();
    let store = support::open(&mounted.0.join("store"));
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    assert_eq!(store.stats().unwrap().resources, 3);
    store.close();
}

/// Takes all room that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_log_that_cannot_be_folded_is_read_and_folded_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::at(folder.path()) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let place = mounted.0.join("store");
    let store = support::open(&place);
    for number in 0..60 {
        write(&store, &format!("n{number}"), &noise(2000)).unwrap();
    }
    let filler = mounted.0.join("filler");
    fill(&filler);
    assert!(matches!(store.fold(), Err(StoreError::Full)));
    assert!(matches!(write(&store, "more", "{}"), Err(StoreError::Full)));
    let all_are_there = |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        for number in 0..60 {
            let key = support::key(&format!("n{number}"));
            let head = snapshot.view().head(&key).unwrap().unwrap();
            assert!(
                snapshot
                    .view()
                    .version(head.rid, head.version)
                    .unwrap()
                    .is_some()
            );
        }
    };
    all_are_there(&store);
    // Closing cannot fold either; the next start reads the log.
    store.close();
    let store = support::open(&place);
    all_are_there(&store);
    assert!(matches!(write(&store, "more", "{}"), Err(StoreError::Full)));
    fs::remove_file(filler).unwrap();
    write(&store, "more", "{}").unwrap();
    store.fold().unwrap();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    assert_eq!(store.stats().unwrap().resources, 61);
    store.close();
}
