//! `cargo run --release -p tests --bin speed-report`: the box's limits, then the gateway against them.
//! `-- --search 100000` measures searches instead, in a site that grows to that many resources.
//! The load generator runs on the same cores; every figure is printed beside what it is held to.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions)] // a report prints, and rounds

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tests::site::Site;
use tests::speed::load::{Measured, Plan, drive};
use tests::speed::{bare, limits, search};

const SPAN: Duration = Duration::from_secs(5);
/// Resources in one transaction Bundle of the load.
const BUNDLE_SIZE: u64 = 100;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, size] = &arguments[..]
        && flag == "--bare"
    {
        return bare::serve(size.parse().unwrap()).await;
    }
    // Beside the build, not in a folder of memory: syncs must reach a disk.
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    if let [_, flag, size] = &arguments[..]
        && flag == "--search"
    {
        return search::report(folder.path(), size.parse().unwrap()).await;
    }
    let syncs = limits::syncs_per_second(folder.path(), SPAN);
    let puts = limits::puts_per_second(folder.path(), SPAN);
    println!("limits of this box");
    println!("  write and fdatasync      {syncs:>9.0} /s");
    println!("  LMDB one put and commit  {puts:>9.0} /s");
    writes(folder.path(), syncs, puts).await;
    reads(folder.path()).await;
    bundles(folder.path()).await;
}

async fn writes(folder: &Path, syncs: f64, puts: f64) {
    let site = Site::start(&folder.join("writes"), &[]);
    let create: Plan = Arc::new(|c, n| ("POST", "/fhir/Observation".into(), observation(c, n)));
    println!("durable creates of one 1.2 KB Observation");
    let one = drive(site.http, 1, SPAN, create.clone(), || site.cpu_seconds()).await;
    print("1 client", &one);
    verdict("ratio to one-put rate", one.per_second / puts, 0.7, true);
    let many = drive(site.http, 64, SPAN, create, || site.cpu_seconds()).await;
    print("64 clients", &many);
    let (ratio, cpu) = (many.per_second / syncs, many.cpu_us);
    println!(
        "    ratio to fsync/s {ratio:.1} (at least 15), or server CPU {cpu:.0} us (at most 350): {}",
        if ratio >= 15.0 || cpu <= 350.0 {
            "reached"
        } else {
            "MISSED"
        }
    );
}

async fn reads(folder: &Path) {
    let site = Site::start(&folder.join("reads"), &[]);
    let mut client = tests::client::Connection::open(site.http).await.unwrap();
    for n in 0..1000u64 {
        let body = observation_with_id(n);
        let path = format!("/fhir/Observation/read-{n}");
        assert_eq!(
            client.send("PUT", &path, &[], body).await.unwrap().status,
            201
        );
    }
    let length = client
        .get("/fhir/Observation/read-1")
        .await
        .unwrap()
        .body
        .len();
    let peer = bare::Bare::start(length);
    let read: Plan = Arc::new(|c, n| {
        (
            "GET",
            format!("/fhir/Observation/read-{}", (c * 37 + n) % 1000),
            String::new(),
        )
    });
    println!("reads of one Observation by id, 16 clients");
    let bare = drive(peer.http, 16, SPAN, read.clone(), || peer.cpu_seconds()).await;
    print("bare hyper", &bare);
    let ours = drive(site.http, 16, SPAN, read, || site.cpu_seconds()).await;
    print("wayside", &ours);
    verdict(
        "ratio to bare hyper",
        ours.per_second / bare.per_second,
        0.5,
        true,
    );
    verdict("server CPU us", ours.cpu_us, 60.0, false);
    spread(&site, &mut client, bare.per_second).await;
    let search: Plan = Arc::new(|c, n| {
        let patient = (c * 37 + n) % 10;
        (
            "GET",
            format!("/fhir/Observation?patient=Patient/p-{patient}&_count=20"),
            String::new(),
        )
    });
    let searched = drive(site.http, 16, SPAN, search, || site.cpu_seconds()).await;
    print("search by patient, 20 of 100", &searched);
}

/// Reads that follow each other by chance only, over more resources than answers are kept ready.
async fn spread(site: &Site, client: &mut tests::client::Connection, bare_per_second: f64) {
    const RESOURCES: u64 = 50_000;
    for first in (1000..RESOURCES).step_by(1000) {
        let put = |n: u64| {
            let resource = observation_with_id(n);
            format!(
                r#"{{"resource":{resource},"request":{{"method":"PUT","url":"Observation/read-{n}"}}}}"#
            )
        };
        let entries: Vec<String> = (first..first + 1000).map(put).collect();
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
            entries.join(",")
        );
        let reply = client.send("POST", "/fhir", &[], body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let read: Plan = Arc::new(|c, n| {
        let number = (c * 7919 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let path = format!("/fhir/Observation/read-{}", number % RESOURCES);
        ("GET", path, String::new())
    });
    let ours = drive(site.http, 16, SPAN, read, || site.cpu_seconds()).await;
    print("wayside, none ready", &ours);
    let ratio = ours.per_second / bare_per_second;
    println!("    ratio to bare hyper {ratio:.2}, of 50,000 resources by chance: no limit is set");
}

async fn bundles(folder: &Path) {
    let site = Site::start(&folder.join("bundles"), &[]);
    let post: Plan = Arc::new(|c, n| ("POST", "/fhir".into(), bundle(c, n)));
    println!("transaction Bundles of {BUNDLE_SIZE} Observations, 4 clients");
    let measured = drive(site.http, 4, 4 * SPAN, post, || site.cpu_seconds()).await;
    print("bundles", &measured);
    let size = BUNDLE_SIZE as f64;
    println!("    resources {:.0} /s", measured.per_second * size);
    verdict(
        "server CPU us a resource",
        measured.cpu_us / size,
        250.0,
        false,
    );
    let stored = measured.requests * BUNDLE_SIZE;
    let private = site.private_bytes() as f64 / 1e6;
    println!("memory beside the page cache after {stored} resources");
    verdict("MB", private, 150.0, false);
}

fn print(name: &str, m: &Measured) {
    println!(
        "  {name:<28} {:>8.0} /s   p50 {:.2} ms   p99 {:.2} ms   server CPU {:.0} us",
        m.per_second, m.p50_ms, m.p99_ms, m.cpu_us
    );
}

fn verdict(what: &str, value: f64, bound: f64, at_least: bool) {
    let (word, reached) = if at_least {
        ("at least", value >= bound)
    } else {
        ("at most", value <= bound)
    };
    println!(
        "    {what} {value:.2} ({word} {bound}): {}",
        if reached { "reached" } else { "MISSED" }
    );
}

fn observation(connection: u64, n: u64) -> String {
    observation_text("", connection * 1_000_000 + n)
}

fn observation_with_id(n: u64) -> String {
    observation_text(&format!(r#""id":"read-{n}","#), n)
}

fn observation_text(id: &str, n: u64) -> String {
    let (patient, value, day) = (n % 10, n % 400, n % 28 + 1);
    format!(
        r#"{{"resourceType":"Observation",{id}"identifier":[{{"system":"http://lab.example/filler","value":"F-{n}"}}],
"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}}]}}],
"code":{{"coding":[{{"system":"http://loinc.org","code":"2339-0","display":"Glucose [Mass/volume] in Blood"}},{{"system":"urn:site:analyzer:a1","code":"GLU"}}],"text":"Glucose"}},
"subject":{{"reference":"Patient/p-{patient}"}},"encounter":{{"reference":"Encounter/e-{n}"}},
"effectiveDateTime":"2026-03-{day:02}T08:30:00+03:00","issued":"2026-03-{day:02}T09:00:00.000+03:00",
"performer":[{{"reference":"Practitioner/t-{patient}"}}],
"valueQuantity":{{"value":{value}.50,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}},
"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N"}}]}}],
"referenceRange":[{{"low":{{"value":70,"unit":"mg/dL"}},"high":{{"value":110,"unit":"mg/dL"}}}}]}}"#
    )
}

fn bundle(connection: u64, n: u64) -> String {
    let entries: Vec<String> = (0..BUNDLE_SIZE)
        .map(|i| {
            let resource = observation(connection, n * BUNDLE_SIZE + i);
            format!(
                r#"{{"resource":{resource},"request":{{"method":"POST","url":"Observation"}}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
        entries.join(",")
    )
}
