//! Search values and postings made anew, without a new version.
#![allow(clippy::unwrap_used, clippy::expect_used)] // panics are a test's answers

mod support;

use store::{CommitError, NewIndex, Rid, StoreError, VersionId, WriteSet};
use support::{key, open, set_of, term, version, write};
use tempfile::TempDir;

fn index(rid: u64) -> WriteSet {
    WriteSet {
        indexes: vec![NewIndex {
            rid: Rid(rid),
            terms_added: vec![term("new")],
            terms_removed: vec![term("a")],
            values: b"new values".to_vec(),
        }],
        ..WriteSet::default()
    }
}

#[test]
fn a_head_is_indexed_anew() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, set_of(vec![version("a", 1, "{}")]));
    write(&store, index(1));
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    assert_eq!(view.values(Rid(1)).unwrap().unwrap(), b"new values");
    assert_eq!(view.postings(&term("a")).unwrap().next().unwrap(), None);
    assert_eq!(
        view.postings(&term("new")).unwrap().next().unwrap(),
        Some(Rid(1))
    );
    let head = view.head(&key("a")).unwrap().unwrap();
    assert_eq!((head.version, head.newest), (VersionId(1), VersionId(1)));
    assert_eq!(view.last_seq().unwrap(), head.seq);
}

#[test]
fn what_is_not_there_is_not_indexed() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, set_of(vec![version("a", 1, "{}")]));
    write(&store, set_of(vec![version("a", 2, "")]));
    for rid in [1, 2] {
        let refused = store.commit(move |_| Ok::<_, ()>((index(rid), ())));
        let is_refused = matches!(refused, Err(CommitError::Store(StoreError::Invalid(_))));
        assert!(is_refused, "{rid}");
    }
}
