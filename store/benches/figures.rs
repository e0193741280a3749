//! Prints the figures of the store beside those of the disk below it: `cargo bench -p store`.
//! Takes the number of resources to load, 50,000 when none is given.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "a benchmark reads the clock, prints, and stops at the first surprise"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{NewVersion, Rid, Store, Term};

const MEASURE: Duration = Duration::from_secs(3);
const BUNDLE: u64 = 100;

fn main() {
    let resources = std::env::args()
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(50_000_u64);
    let folder = tempfile::Builder::new().tempdir_in(".").unwrap();
    let syncs = syncs_a_second(folder.path());
    println!("disk: {syncs:.0} write+fdatasync of 4 KiB a second");
    let store = support::open(&folder.path().join("store"));
    let one = lone_writer(&store, folder.path());
    let (many, cpu) = durable_writes(&store, 64);
    println!(
        "durable writes, 64 clients: {many:.0}/s ({:.1} x 1 client, {:.1} x disk, {cpu:.0} us CPU each)",
        many / one,
        many / syncs
    );
    let before = store.stats().unwrap();
    let loaded = bulk_load(&store, resources);
    let with_overlay = point_reads(&store);
    store.fold().unwrap();
    let after = store.stats().unwrap();
    let stored = (after.file_bytes - before.file_bytes) as f64 / resources as f64;
    println!(
        "on disk: {stored:.0} bytes a resource, {:.2} x its JSON",
        stored / loaded
    );
    let (rate, cpu) = point_reads(&store);
    println!("point reads of head and body, 2 threads: {rate:.0}/s, {cpu:.1} us CPU each");
    let (rate, cpu) = with_overlay;
    println!("    just after writing, the log not folded: {rate:.0}/s, {cpu:.1} us CPU each");
}

/// One client against one-put commits of LMDB, turn by turn, each fold included; writes a second.
fn lone_writer(store: &Store, folder: &Path) -> f64 {
    let probe = Puts::new(&folder.join("puts"));
    let (mut puts, mut writes) = ((0.0, 0.0), (0.0, 0.0, 0.0));
    let mut times = Vec::new();
    for _ in 0..4 {
        let (start, mut count) = (Instant::now(), 0.0);
        while start.elapsed() < MEASURE / 2 {
            probe.put();
            count += 1.0;
        }
        puts = (puts.0 + count, puts.1 + start.elapsed().as_secs_f64());
        let (start, cpu, bytes) = (Instant::now(), cpu_seconds(), disk_bytes());
        while start.elapsed() < MEASURE {
            let begun = Instant::now();
            let new = resource(NUMBER.fetch_add(1, Ordering::Relaxed), "single");
            support::write(store, support::set_of(vec![new]));
            times.push(begun.elapsed());
        }
        store.fold().unwrap();
        writes.0 += start.elapsed().as_secs_f64();
        writes.1 += cpu_seconds() - cpu;
        writes.2 += disk_bytes() - bytes;
    }
    times.sort_unstable();
    let count = times.len() as f64;
    let at = |part: usize| times[(times.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    let (one_put, one) = (puts.0 / puts.1, count / writes.0);
    println!("LMDB, one put and commit: {one_put:.0}/s");
    println!(
        "durable writes, 1 client, folds included: {one:.0}/s ({:.2} x one put), {:.0} us CPU and {:.1} kB written each, p50 {:.2} p99 {:.2} p99.9 {:.2} ms",
        one / one_put,
        writes.1 * 1e6 / count,
        writes.2 / count / 1e3,
        at(500),
        at(990),
        at(999)
    );
    one
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Commits of one value of 1.5 kB each.
struct Puts {
    env: heed::Env,
    database: heed::Database<'static, heed::types::Bytes, heed::types::Bytes>,
    count: AtomicU64,
}

impl Puts {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        // SAFETY: a folder of our own that no other process opens.
        let env = unsafe { heed::EnvOpenOptions::new().map_size(1 << 30).open(folder) }.unwrap();
        let transaction = env.write_txn().unwrap();
        let database = env
            .create_databases_and_commit(transaction, |opener, transaction| {
                let database = opener.create_database(transaction, None)?;
                Ok::<_, heed::Error>(heed::CommitOrAbort::<_, ()>::Commit(database))
            })
            .unwrap()
            .unwrap_commit();
        let count = AtomicU64::new(0);
        Self {
            env,
            database,
            count,
        }
    }

    fn put(&self) {
        let key = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut transaction = self.env.write_txn().unwrap();
        self.database
            .put(&mut transaction, &key, &[7; 1500])
            .unwrap();
        transaction.commit().unwrap();
    }
}

/// Bytes that this program had written to disks so far.
fn disk_bytes() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0.0)
}

fn syncs_a_second(folder: &Path) -> f64 {
    let file = File::create(folder.join("sync")).unwrap();
    let mut count = 0_u64;
    let start = Instant::now();
    while start.elapsed() < MEASURE / 3 {
        file.write_all_at(&[1; 4096], 4096 * (count % 64)).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// Writes a second and microseconds of CPU each.
fn durable_writes(store: &Store, clients: u64) -> (f64, f64) {
    let written = AtomicU64::new(0);
    let start = Instant::now();
    let cpu = cpu_seconds();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while start.elapsed() < MEASURE {
                    let new = resource(NUMBER.fetch_add(1, Ordering::Relaxed), "single");
                    support::write(store, support::set_of(vec![new]));
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let written = written.into_inner() as f64;
    (
        written / start.elapsed().as_secs_f64(),
        (cpu_seconds() - cpu) * 1e6 / written,
    )
}

/// Loads transaction bundles; answers the mean length of the JSON.
fn bulk_load(store: &Store, resources: u64) -> f64 {
    let bundles: Vec<Vec<NewVersion>> = (0..resources / BUNDLE)
        .map(|bundle| {
            (0..BUNDLE)
                .map(|n| resource(bundle * BUNDLE + n, "bulk"))
                .collect()
        })
        .collect();
    let bytes: usize = bundles.iter().flatten().map(|new| new.body.len()).sum();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    for bundle in bundles {
        support::write(store, support::set_of(bundle));
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "bulk load, bundles of {BUNDLE}: {:.0} resources/s, {:.0} us CPU a resource",
        resources as f64 / seconds,
        cpu * 1e6 / resources as f64
    );
    bytes as f64 / resources as f64
}

/// Two threads, each read in a snapshot of its own, by rid in no order: reads a second and
/// microseconds of CPU each.
fn point_reads(store: &Store) -> (f64, f64) {
    let last = store.stats().unwrap().resources;
    let reads = AtomicU64::new(0);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let reads = &reads;
            scope.spawn(move || {
                let mut at = thread;
                while start.elapsed() < MEASURE {
                    for _ in 0..100 {
                        at = (at.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1)) >> 3;
                        let snapshot = store.snapshot().unwrap();
                        let view = snapshot.view();
                        let head = view.head_of(Rid(1 + at % last)).unwrap().unwrap();
                        assert!(view.version(head.rid, head.version).unwrap().is_some());
                    }
                    reads.fetch_add(100, Ordering::Relaxed);
                }
            });
        }
    });
    let (count, cpu) = (reads.into_inner() as f64, cpu_seconds() - cpu);
    let rate = count / start.elapsed().as_secs_f64();
    (rate, cpu * 1e6 / count)
}

/// An observation of about 1.5 kB with 40 terms.
fn resource(number: u64, kind: &str) -> NewVersion {
    let patient = number / 50;
    let value = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let body = format!(
        r#"{{"resourceType":"Observation","id":"{kind}-{number:016x}","meta":{{"versionId":"1","lastUpdated":"2026-03-04T05:06:{:02}.{:03}Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]}},"identifier":[{{"system":"urn:oid:1.2.36.146.595.217.0.1","value":"{value:x}-{number}"}}],"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{}-4","display":"Sodium [Moles/volume] in Serum or Plasma"}}],"text":"Sodium [Moles/volume] in Serum or Plasma"}},"subject":{{"reference":"Patient/{patient:016x}"}},"encounter":{{"reference":"Encounter/{:016x}"}},"effectiveDateTime":"2026-03-{:02}T05:06:07+00:00","issued":"2026-03-04T05:06:07.{:03}+00:00","valueQuantity":{{"value":{}.{:04},"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}},"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N","display":"Normal"}}]}}],"referenceRange":[{{"low":{{"value":135,"unit":"mmol/L"}},"high":{{"value":145,"unit":"mmol/L"}}}}]}}"#,
        number % 60,
        value % 1000,
        2000 + number % 90,
        number / 7,
        1 + number % 28,
        value % 997,
        130 + value % 20,
        value % 9973
    );
    let mut new = support::version(&format!("{kind}-{number:016x}"), 1, &body);
    new.terms_added = (0..40)
        .map(|term| search_term(term, number, kind))
        .collect();
    new.values = format!("{number:x}|final|laboratory|{patient:x}|{value:x}")
        .repeat(3)
        .into_bytes();
    new
}

/// Ten terms that all share, twelve that a code or day shares, twelve of a patient or encounter, six
/// of its own (id, identifier): as an observation has them.
fn search_term(term: u64, number: u64, kind: &str) -> Term {
    let text = match term {
        0..10 => format!("everyone {term}"),
        10..22 => format!("code {term} {}", number % 90),
        22..34 => format!("patient {term} {}", number / 50),
        _ => format!("{kind} {term} {number}"),
    };
    Term(text.into_bytes())
}

/// User and system time of this program so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0
}
