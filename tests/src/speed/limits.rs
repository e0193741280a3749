//! What this box can do at best: syncs of a file, one-put commits of LMDB.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes of 4 KiB each followed by fdatasync, a second.
#[allow(clippy::disallowed_methods)] // a stopwatch is this file's purpose
pub fn syncs_per_second(folder: &Path, span: Duration) -> f64 {
    let mut file = std::fs::File::create(folder.join("sync-probe")).unwrap();
    let block = [7u8; 4096];
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < span {
        file.rewind().unwrap();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Durable transactions of one 1.5 KB put each, a second, in a fresh LMDB environment.
#[allow(unsafe_code, clippy::disallowed_methods)] // heed's open is unsafe; the file is this probe's own
pub fn puts_per_second(folder: &Path, span: Duration) -> f64 {
    use heed::types::Bytes;
    let path = folder.join("put-probe");
    std::fs::create_dir_all(&path).unwrap();
    let mut options = heed::EnvOpenOptions::new();
    options.map_size(1 << 30);
    // SAFETY: a folder of our own that no other process opens.
    let env = unsafe { options.open(&path) }.unwrap();
    let transaction = env.write_txn().unwrap();
    let database = env
        .create_databases_and_commit(transaction, |opener, transaction| {
            let database = opener.create_database::<Bytes, Bytes>(transaction, None)?;
            Ok::<_, heed::Error>(heed::CommitOrAbort::<_, ()>::Commit(database))
        })
        .unwrap()
        .unwrap_commit();
    let value = [7u8; 1500];
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < span {
        let mut transaction = env.write_txn().unwrap();
        database
            .put(&mut transaction, &u64::from(count).to_be_bytes(), &value)
            .unwrap();
        transaction.commit().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}
