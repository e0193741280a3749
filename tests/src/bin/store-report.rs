//! `cargo run --release -p tests --bin store-report`: the figures of the store, each beside what it is
//! held to. Small numbers by default; `-- --kills 500 --flips 1000 --cuts 100 --phase-cuts 20 --resources 100000` for the full ones.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions)] // a report prints, and rounds
#![allow(clippy::disallowed_methods)] // and measures real time

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::client::Connection;
use tests::site::{Site, wayside};
use tests::speed::load::{Plan, drive};
use tests::{damage_report, kills};

/// Resources in one transaction Bundle of the load.
const BUNDLE_SIZE: u64 = 100;
/// Mixed load lasts so often so long; memory is looked at after each.
const MIXED_SPANS: usize = 5;
const MIXED_SPAN: Duration = Duration::from_secs(2);

#[tokio::main(worker_threads = 2)]
async fn main() {
    // Beside the build, not in a folder of memory: syncs must reach a disk.
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let data = folder.path().join("sized");
    size(&data, number("--resources", 2_000)).await;
    let plain = |what: &str, figure: u64, reached: bool| verdict(what, figure, reached);
    damage_report::bit_rot((&data, folder.path()), number("--flips", 100), plain);
    let cuts = (number("--cuts", 5), number("--phase-cuts", 2));
    damage_report::power_cuts(folder.path(), cuts, plain).await;
    kill_rounds(&folder.path().join("killed"), number("--kills", 20)).await;
    println!("crash images and full disks: cargo test -p store");
    println!(
        "every failing system call: WAYSIDE_TEST_EVERY_WAY=1 cargo test -p store --test every_call"
    );
}

/// The number behind a flag of the command line.
fn number(flag: &str, default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == flag);
    at.and_then(|at| arguments.get(at + 1))
        .map_or(default, |text| text.parse().unwrap())
}

fn verdict(what: &str, figure: impl std::fmt::Display, reached: bool) {
    let verdict = if reached { "reached" } else { "MISSED" };
    println!("  {what:<52} {figure:>12}  {verdict}");
}

/// Loads Observations, stops, and asks what each database takes.
async fn size(data: &Path, resources: u64) {
    println!("size and speed, {resources} Observations in Bundles of {BUNDLE_SIZE}");
    let site = Site::start(data, &[]);
    let mut connection = Connection::open(site.http).await.unwrap();
    let (start, mut json) = (Instant::now(), 0);
    for bundle in 0..resources / BUNDLE_SIZE {
        let (text, bytes) = load(bundle);
        json += bytes;
        let reply = connection.send("POST", "/fhir", &[], text).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = resources as f64 / seconds;
    println!("    loaded in {seconds:.1} s");
    verdict(
        "loaded a second (at least 3,000)",
        format!("{rate:.0}"),
        rate >= 3000.0,
    );
    assert!(site.terminate());
    let begun = Instant::now();
    let site = Site::start(data, &[]);
    let seconds = begun.elapsed().as_secs_f64();
    verdict(
        "start to first answer, s (at most 1)",
        format!("{seconds:.2}"),
        seconds <= 1.0,
    );
    assert!(site.terminate());
    let (code, text) = wayside(&["verify", "--space", "--data", &data.to_string_lossy()]);
    assert_eq!(code, 0, "{text}");
    for line in text.lines().filter(|line| line.starts_with("space ")) {
        println!("    {line}");
    }
    let file = std::fs::metadata(data.join("data.mdb")).unwrap().len() as f64;
    println!("    bytes a resource {:.0}", file / resources as f64);
    let ratio = file / json as f64;
    verdict(
        "bytes on disk to raw JSON (at most 0.6)",
        format!("{ratio:.2}"),
        ratio <= 0.6,
    );
    // Last, for it writes.
    let site = Site::start(data, &[]);
    mixed(&site, resources).await;
    assert!(site.terminate());
}

/// Reads, searches and writes at once; the most memory that the process had of its own meanwhile.
async fn mixed(site: &Site, resources: u64) {
    let plan: Plan = Arc::new(move |c, n| {
        let at = (c * 7919 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let at = at % resources;
        match n % 8 {
            0 => ("PUT", format!("/fhir/Observation/s-{at}"), observation(at)),
            1 | 2 => {
                let search = format!("Observation?patient=Patient/p-{}&_sort=-date", at / 50);
                ("GET", format!("/fhir/{search}&_count=10"), String::new())
            }
            _ => ("GET", format!("/fhir/Observation/s-{at}"), String::new()),
        }
    });
    let mut most = 0;
    for _ in 0..MIXED_SPANS {
        let load = drive(site.http, 16, MIXED_SPAN, plan.clone(), || {
            site.cpu_seconds()
        })
        .await;
        most = most.max(site.private_bytes());
        println!(
            "    mixed load: {:.0} /s, p99 {:.1} ms",
            load.per_second, load.p99_ms
        );
    }
    let megabytes = most as f64 / 1e6;
    verdict(
        "MB of memory under mixed load (at most 200)",
        format!("{megabytes:.0}"),
        megabytes <= 200.0,
    );
}

async fn kill_rounds(data: &Path, rounds: u64) {
    println!("kill -9 under 16 writers, {rounds} rounds");
    let found = kills::run(rounds, 1, data, |line| println!("    {line}")).await;
    verdict("acknowledged writes lost (0)", found.lost, found.lost == 0);
    verdict(
        "Bundles half applied (0)",
        found.half_applied,
        found.half_applied == 0,
    );
    verdict(
        "rounds found unsound by verify (0)",
        found.unsound,
        found.unsound == 0,
    );
}

/// A transaction Bundle, and how long the resources in it are.
fn load(bundle: u64) -> (String, usize) {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for n in bundle * BUNDLE_SIZE..(bundle + 1) * BUNDLE_SIZE {
        let resource = observation(n);
        bytes += resource.len();
        entries.push(format!(
            r#"{{"resource":{resource},"request":{{"method":"PUT","url":"Observation/s-{n}"}}}}"#
        ));
    }
    let entries = entries.join(",");
    let bundle = format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#);
    (bundle, bytes)
}

/// About 1.2 kB, as laboratories send them.
fn observation(n: u64) -> String {
    let value = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    format!(
        r#"{{"resourceType":"Observation","id":"s-{n}","identifier":[{{"system":"urn:oid:1.2.36.146","value":"{value:x}-{n}"}}],"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{}-4","display":"Sodium [Moles/volume] in Serum or Plasma"}}],"text":"Sodium [Moles/volume] in Serum or Plasma"}},"subject":{{"reference":"Patient/p-{}"}},"effectiveDateTime":"2026-03-{:02}T05:06:07+00:00","issued":"2026-03-04T05:06:07.{:03}+00:00","valueQuantity":{{"value":{}.{},"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}},"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N","display":"Normal"}}]}}],"referenceRange":[{{"low":{{"value":135,"unit":"mmol/L"}},"high":{{"value":145,"unit":"mmol/L"}}}}]}}"#,
        2000 + n % 90,
        n / 50,
        1 + n % 28,
        value % 997,
        130 + value % 20,
        value % 9973
    )
}
