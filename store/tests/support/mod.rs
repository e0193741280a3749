//! Small stores and resources for the tests of this folder.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests use their own part and panic"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{
    Keys, NewVersion, OpenOptions, Origin, OriginKind, ResourceKey, Store, StoreError, Term,
    Urgency, VersionId, WriteSet,
};

/// Bytes that differ from call to call; tests need no secrets.
pub(crate) fn random(buffer: &mut [u8]) {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    for chunk in buffer.chunks_mut(8) {
        let mut x = CALLS
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 32;
        chunk.copy_from_slice(&x.to_be_bytes()[..chunk.len()]);
    }
}

pub(crate) fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 28,
        queue_length_max: 1000,
        random,
    }
}

pub(crate) fn keys() -> Keys {
    Keys {
        key_encryption_key: [7; 32],
    }
}

pub(crate) fn open(folder: &Path) -> Store {
    try_open(folder).unwrap()
}

pub(crate) fn try_open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(options(folder), keys())
}

/// Copies what lies in a store's folder, the data file first: what a log gains meanwhile is beyond
/// it, and nothing of a log is written over before two more folds.
pub(crate) fn copy(folder: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["data.mdb", "log.0", "log.1"] {
        if folder.join(name).exists() {
            std::fs::copy(folder.join(name), to.join(name)).unwrap();
        }
    }
}

pub(crate) fn key(id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Patient".to_owned(),
        id: id.to_owned(),
    }
}

pub(crate) fn term(text: &str) -> Term {
    Term(text.as_bytes().to_vec())
}

/// A version that becomes head, with one term and some values.
pub(crate) fn version(id: &str, number: u64, body: &str) -> NewVersion {
    NewVersion {
        key: key(id),
        version: VersionId(number),
        body: body.as_bytes().to_vec(),
        deleted: body.is_empty(),
        becomes_head: true,
        making: store::Making::Untold,
        review_open: None,
        terms_added: vec![term(id)],
        terms_removed: Vec::new(),
        values: format!("values of {id}").into_bytes(),
        origin: Origin {
            kind: OriginKind::Client,
            number: 3,
        },
        urgency: Urgency::Clinical,
        time_ms: 1_700_000_000_000 + i64::try_from(number).unwrap(),
        hlc: 99 + number,
    }
}

pub(crate) fn set_of(versions: Vec<NewVersion>) -> WriteSet {
    WriteSet {
        versions,
        ..WriteSet::default()
    }
}

/// Writes without looking; panics when the store refuses.
pub(crate) fn write(store: &Store, set: WriteSet) {
    store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
}
