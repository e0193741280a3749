//! Prints what backups cost: `cargo bench -p vault`. Takes the number of resources to load, 50,000
//! when none is given.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a benchmark reads the clock, prints, and stops at the first surprise"
)]

use std::path::Path;
use std::time::Instant;
use store::{
    Keys, NewVersion, OpenOptions, Origin, OriginKind, ResourceKey, Store, Term, Urgency,
    VersionId, WriteSet,
};
use vault::backup::{self, Folder, Taken};
use vault::{Master, Secret, Slots};
use zeroize::Zeroizing;

/// Resources in one commit.
const BUNDLE: u64 = 500;

fn random(buffer: &mut [u8]) {
    getrandom::fill(buffer).unwrap();
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 30,
        queue_length_max: 100,
        random,
    }
}

fn main() {
    let mut words = std::env::args().filter_map(|word| word.parse().ok());
    let resources = words.next().unwrap_or(50_000_u64);
    let folder = tempfile::Builder::new().tempdir_in(".").unwrap();
    let master = Master {
        current: Zeroizing::new([1; 32]),
    };
    let keys = Keys {
        key_encryption_key: [1; 32],
    };
    let store = Store::open(options(&folder.path().join("data")), keys).unwrap();
    let mut slots = Slots::new(random);
    let sheet = Secret::Recovery(Zeroizing::new([3; 32]));
    slots.add(&master, (&sheet, None), (random, 0)).unwrap();
    let shelf = Folder::new(&folder.path().join("backup"));
    shelf.make().unwrap();

    let begun = Instant::now();
    load(&store, (0, resources), 1);
    println!(
        "loaded {resources} resources in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let full = timed("full backup", || take(&store, &slots, &shelf, 1));
    told(&full);
    let day = (resources / 100).max(1);
    load(&store, (0, day), 2);
    load(&store, (resources, resources + day), 1);
    println!("changed {day} resources, added {day}");
    let next = timed("incremental backup", || take(&store, &slots, &shelf, 2));
    told(&next);
    let same = timed("backup of the unchanged store", || {
        take(&store, &slots, &shelf, 3)
    });
    told(&same);
    let opened = backup::open(&shelf, &sheet, random).unwrap();
    let proof = timed("verify", || opened.verify(&next.name).unwrap());
    let to = options(&folder.path().join("restored"));
    let restored = timed("restore", || {
        opened.restore(&next.name, &to, (None, 0)).unwrap()
    });
    assert_eq!((&restored, &proof.digest), (&proof, &next.digest));
    let master = Slots::load(&to.folder)
        .unwrap()
        .unwrap()
        .unlock(&sheet)
        .unwrap();
    let keys = Keys {
        key_encryption_key: *master.current,
    };
    let copy = Store::open(options(&to.folder), keys).unwrap();
    let digest = timed("digest of the restored store", || {
        backup::digest_of_store(&copy).unwrap()
    });
    assert_eq!(digest, next.digest, "the restored store differs");
    let report = timed("verify the restored store", || copy.verify(None).unwrap());
    assert_eq!(report.findings_total, 0);
    println!(
        "restored store equal, row by row: {} rows, {digest}",
        proof.rows
    );
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{what:<30} {:>8.2} s", begun.elapsed().as_secs_f64());
    done
}

fn take(store: &Store, slots: &Slots, shelf: &Folder, now_ms: i64) -> Taken {
    backup::take(store, slots, shelf, (random, now_ms)).unwrap()
}

fn told(taken: &Taken) {
    println!(
        "    {:.1} MB in the store, {:.1} MB written, {} of {} chunks new",
        taken.bytes as f64 / 1e6,
        taken.bytes_new as f64 / 1e6,
        taken.chunks_new,
        taken.chunks
    );
}

/// Observations of about 1.2 kB with 14 terms each, as a clinic writes them.
fn load(store: &Store, (from, until): (u64, u64), version: u64) {
    let mut at = from;
    while at < until {
        let end = (at + BUNDLE).min(until);
        let set = WriteSet {
            versions: (at..end).map(|id| observation(id, version)).collect(),
            audit: vec![format!("wrote {at} to {end}").into_bytes()],
            ..WriteSet::default()
        };
        store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
        at = end;
    }
}

fn observation(id: u64, version: u64) -> NewVersion {
    let (patient, code, day) = (id / 50, id % 97, id % 1461);
    let value = (id * 7919 + version) % 100_000;
    let coding = r#"{"system":"http://loinc.org","code":"718-7","display":"Hemoglobin [Mass/volume] in Blood"}"#;
    let body = format!(
        r#"{{"resourceType":"Observation","id":"o{id}","status":"final","category":[{{"coding":[{coding}]}}],"code":{{"coding":[{coding},{{"code":"{code}"}}]}},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"day {day}","issued":"2026-03-01T10:15:00.000+03:00","valueQuantity":{{"value":{value},"unit":"g/dL","system":"http://unitsofmeasure.org","code":"g/dL"}},"note":[{{"text":"{id:x}-{value:x} {}"}}]}}"#,
        "measured twice, as the first tube had clotted. ".repeat(8)
    );
    let mut terms: Vec<Term> = (0..8).map(|n| term(&format!("own {n} {id}"))).collect();
    terms.extend((0..3).map(|n| term(&format!("patient {n} {patient}"))));
    terms.extend([
        term(&format!("code {code}")),
        term(&format!("day {day}")),
        term("all"),
    ]);
    let is_new = version == 1;
    NewVersion {
        key: ResourceKey {
            resource_type: "Observation".to_owned(),
            id: format!("o{id}"),
        },
        version: VersionId(version),
        values: body.as_bytes().iter().copied().take(180).collect(),
        body: body.into_bytes(),
        deleted: false,
        becomes_head: true,
        making: store::Making::Untold,
        review_open: None,
        terms_added: if is_new {
            terms
        } else {
            vec![term(&format!("value {value}"))]
        },
        terms_removed: Vec::new(),
        origin: Origin {
            kind: OriginKind::Client,
            number: 1,
        },
        urgency: Urgency::Bulk,
        time_ms: 1_700_000_000_000,
        hlc: 1,
    }
}

fn term(text: &str) -> Term {
    Term(text.as_bytes().to_vec())
}
