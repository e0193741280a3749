//! Searching a large site: server CPU of a request at a tenth of the size and at the whole of it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions)] // a report prints, and rounds

use super::load::{Plan, drive};
use crate::client::Connection;
use crate::site::Site;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A request that is measured, and the most CPU it may take, in microseconds.
struct Figure {
    name: &'static str,
    bound_us: f64,
    plan: fn(u64, u64) -> String,
}

/// Resources of one patient: itself and its Observations.
const OF_ONE: u64 = 100;
/// Resources in a transaction Bundle of the load.
const BUNDLE_SIZE: u64 = 500;
const SPAN: Duration = Duration::from_secs(4);
/// From a tenth of the size to the whole, a request may take so much longer.
const GROWTH_MAX: f64 = 1.5;

const FIGURES: [Figure; 3] = [
    Figure {
        name: "Patient?identifier=",
        bound_us: 120.0,
        plan: |patients, n| format!("/fhir/Patient?identifier=urn:mrn|{}", n * 7 % patients),
    },
    Figure {
        name: "Observation?patient=&code=&_sort=-date&_count=10",
        bound_us: 300.0,
        plan: |patients, n| {
            let (patient, code) = (n * 7 % patients, n % 10);
            format!(
                "/fhir/Observation?patient=Patient/p{patient}&code=http://loinc.org|c{code}&_sort=-date&_count=10"
            )
        },
    },
    Figure {
        name: "Observation?_summary=count",
        bound_us: 5_000.0,
        plan: |_, _| "/fhir/Observation?_summary=count".to_owned(),
    },
];

/// Measures at `size / 10` and at `size` resources.
pub async fn report(folder: &Path, size: u64) {
    let site = Site::start(&folder.join("search"), &[]);
    println!("searches, 2 clients, server CPU a request");
    let mut before = Vec::new();
    let mut loaded = 0;
    for whole in [size / 10, size] {
        let patients = (whole / OF_ONE).max(1);
        load(site.http, loaded, patients).await;
        loaded = patients;
        println!("  at {} resources", patients * OF_ONE);
        for (number, figure) in FIGURES.iter().enumerate() {
            let plan = figure.plan;
            let plan: Plan =
                Arc::new(move |c, n| ("GET", plan(patients, c * 1009 + n), String::new()));
            let measured = drive(site.http, 2, SPAN, plan, || site.cpu_seconds()).await;
            let (took, bound) = (measured.cpu_us, figure.bound_us);
            let word = |reached: bool| if reached { "reached" } else { "MISSED" };
            println!(
                "    {:<50} {took:>7.0} us (at most {bound:.0}): {}",
                figure.name,
                word(took <= bound)
            );
            match before.get(number) {
                None => before.push(took),
                Some(former) => println!(
                    "      {:.2} of the time at a tenth of the size (at most {GROWTH_MAX}): {}",
                    took / former,
                    word(took / former <= GROWTH_MAX)
                ),
            }
        }
    }
}

/// Patients `from` to `to` with their Observations.
async fn load(address: SocketAddr, from: u64, to: u64) {
    let mut client = Connection::open(address).await.unwrap();
    let mut entries = Vec::new();
    for patient in from..to {
        entries.push(put(&format!("Patient/p{patient}"), &format!(
            r#"{{"resourceType":"Patient","id":"p{patient}","identifier":[{{"system":"urn:mrn","value":"{patient}"}}],"name":[{{"family":"Juma","given":["N{patient}"]}}],"birthDate":"1980-01-01"}}"#
        )));
        for n in 1..OF_ONE {
            entries.push(put(
                &format!("Observation/p{patient}-{n}"),
                &observation(patient, n),
            ));
        }
        if entries.len() as u64 >= BUNDLE_SIZE || patient + 1 == to {
            let body = format!(
                r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
                entries.join(",")
            );
            let reply = client.send("POST", "/fhir", &[], body).await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            entries.clear();
        }
    }
}

fn put(url: &str, resource: &str) -> String {
    format!(r#"{{"resource":{resource},"request":{{"method":"PUT","url":"{url}"}}}}"#)
}

fn observation(patient: u64, n: u64) -> String {
    let (code, month, day) = (n % 10, n % 12 + 1, n % 28 + 1);
    format!(
        r#"{{"resourceType":"Observation","id":"p{patient}-{n}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],
"code":{{"coding":[{{"system":"http://loinc.org","code":"c{code}","display":"Glucose [Mass/volume] in Blood"}}],"text":"Glucose"}},
"subject":{{"reference":"Patient/p{patient}"}},"effectiveDateTime":"2025-{month:02}-{day:02}T08:30:00+03:00",
"performer":[{{"reference":"Practitioner/t{code}"}}],
"valueQuantity":{{"value":{n}.50,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
    )
}
