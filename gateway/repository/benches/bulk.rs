//! Prints what bulk work costs: `cargo bench -p gateway-repository --features fresh --bench bulk`.
//! Takes the number of resources to export, 20,000 when none is given.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a benchmark reads the clock, prints, and stops at the first surprise"
)]

use fhir_mapping::model::{Limits, parse};
use gateway_ground::clock::Clock;
use gateway_repository::{
    Actor, ExportOrder, JobLane, JobOrder, MergeOrder, PurgeOrder, Repository, Scope, Transaction,
    Write, fresh,
};
use std::time::Instant;
use store::{Origin, OriginKind};

/// Resources in one commit.
const BUNDLE: usize = 500;
const REFERRING: usize = 1_000;
const RECORD: usize = 500;

fn actor() -> Actor {
    Actor {
        name: "bench".to_owned(),
        origin: Origin {
            kind: OriginKind::Client,
            number: 0,
        },
    }
}

fn patient(id: &str) -> (String, String) {
    let text = format!(
        r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:clinic","value":"{id}"}}],"name":[{{"family":"Juma","given":["Amina"]}}],"gender":"female","birthDate":"1991-05-02"}}"#
    );
    (id.to_owned(), text)
}

fn observation(id: String, patient: &str) -> (String, String) {
    let text = format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"718-7","display":"Hemoglobin [Mass/volume] in Blood"}}]}},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"2026-03-01T10:15:00Z","valueQuantity":{{"value":13.50,"unit":"g/dL","system":"http://unitsofmeasure.org","code":"g/dL"}},"referenceRange":[{{"low":{{"value":12.0}},"high":{{"value":16.0}}}}]}}"#
    );
    (id, text)
}

async fn load(repository: &Repository, resources: Vec<(String, String)>) {
    for part in resources.chunks(BUNDLE) {
        let writes = part.iter().map(|(id, text)| Write::Update {
            id: id.clone(),
            resource: parse(text.as_bytes(), Limits::default()).unwrap(),
            if_match: None,
        });
        let transaction = Transaction {
            actor: actor(),
            writes: writes.collect(),
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        repository.write(transaction).await.unwrap();
    }
}

/// Peak of the memory so far that is not the page cache, in MB; counted anew from here on.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    // Where this is not allowed, peaks only grow.
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
    kb.unwrap_or(0) / 1024
}

async fn timed<T>(what: &str, count: usize, work: impl Future<Output = T>) -> T {
    peak_mb();
    let begun = Instant::now();
    let outcome = work.await;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{what}: {count} resources in {seconds:.2} s, {:.0}/s, peak {} MB",
        count as f64 / seconds,
        peak_mb()
    );
    outcome
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().filter_map(|word| word.parse().ok());
    let exported = words.next().unwrap_or(20_000_usize);
    let (repository, _folder) = fresh::repository(Clock::system(0));
    load(&repository, ["a", "b", "c", "d"].map(patient).to_vec()).await;
    let of = |patient: &'static str, count: usize| {
        let one = move |number: usize| observation(format!("{patient}{number}"), patient);
        (0..count).map(one).collect::<Vec<_>>()
    };
    load(&repository, of("a", REFERRING)).await;
    load(&repository, of("c", RECORD)).await;
    let rest = exported.saturating_sub(REFERRING + RECORD);
    timed("load", rest, load(&repository, of("d", rest))).await;

    let id = export(&repository, exported).await;
    let pieces = async {
        let mut bytes = 0;
        for number in 0.. {
            let Ok(file) = repository.job_file(&id, number, "bench") else {
                break;
            };
            bytes += file.map(|piece| piece.unwrap().len()).sum::<usize>();
        }
        bytes
    };
    let bytes = timed("$export, fetched", exported, pieces).await;
    println!("  {} MB of NDJSON", bytes >> 20);

    let merge = MergeOrder {
        source: "a".to_owned(),
        target: "b".to_owned(),
        result: None,
        if_match: None,
    };
    let merging = actor();
    let merged = timed("$merge", REFERRING, repository.merge(&merging, merge)).await;
    assert_eq!(merged.unwrap().referring, REFERRING);

    let purge = PurgeOrder {
        patient: "c".to_owned(),
        reason: "bench".to_owned(),
        with_unsent: false,
    };
    let purging = actor();
    let purged = timed("$purge", RECORD + 1, repository.purge(&purging, purge)).await;
    assert_eq!(
        purged.unwrap().report.types.values().sum::<u64>(),
        RECORD as u64 + 1
    );
}

async fn export(repository: &Repository, count: usize) -> String {
    let order = ExportOrder {
        scope: Scope::Site,
        types: Vec::new(),
        since_ms: None,
        filters: Vec::new(),
        patients: Vec::new(),
        elements: Vec::new(),
        seq: 0,
        rid_max: 0,
    };
    let asking = actor();
    let asked = repository.start_job(&asking, "bench", JobOrder::Export(order));
    let id = asked.await.unwrap();
    let next = repository.next_job(JobLane::Exports).unwrap().unwrap();
    timed("$export, listed", count, repository.export(next))
        .await
        .unwrap();
    id
}
