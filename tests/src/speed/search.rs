//! Searching sites of growing size: server CPU of a request at ten thousand resources and at every
//! power of ten up to the whole, held to what it may take and to how it may grow.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions)] // a report prints, and rounds

use super::load::{Plan, drive};
use super::records::{self, Records};
use crate::site::Site;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A request that is measured, and the most CPU it may take, in microseconds.
struct Figure {
    name: &'static str,
    bound_us: Option<f64>,
    plan: fn(&Records, u64) -> String,
}

/// What is measured at first; powers of ten of it follow.
const SIZE_MIN: u64 = 10_000;
/// A figure is the median of so many spans.
const SPANS: usize = 3;
const SPAN: Duration = Duration::from_millis(2_500);
/// A site is at rest after so long without work, which is what takes more than this share of a core.
const QUIET: Duration = Duration::from_secs(13);
const GLANCE: Duration = Duration::from_millis(500);
const BUSY_SHARE: f64 = 0.1;
/// From the first size to the whole, a request may take so much longer.
const GROWTH_MAX: f64 = 1.5;

const FIGURES: [Figure; 8] = [
    Figure {
        name: "Patient?identifier=",
        bound_us: Some(120.0),
        plan: |records, n| {
            format!(
                "/fhir/Patient?identifier=urn:mrn|{}",
                n * 7 % records.patients
            )
        },
    },
    Figure {
        name: "Observation?patient=&code=&_sort=-date&_count=10",
        bound_us: Some(300.0),
        plan: |records, n| {
            let (patient, code) = (n * 7 % records.patients, n % 10);
            format!(
                "/fhir/Observation?patient=Patient/p{patient}&code=http://loinc.org|c{code}&_sort=-date&_count=10"
            )
        },
    },
    Figure {
        name: "Observation?_summary=count",
        bound_us: Some(5_000.0),
        plan: |_, _| "/fhir/Observation?_summary=count".to_owned(),
    },
    Figure {
        name: "Patient/id/$everything, 500 resources",
        bound_us: Some(15_000.0),
        plan: |_, n| {
            format!(
                "/fhir/Patient/w{}/$everything?_count=1000",
                n % records::WHOLES
            )
        },
    },
    Figure {
        name: "Patient/id",
        bound_us: None,
        plan: |records, n| format!("/fhir/Patient/p{}", n * 7 % records.patients),
    },
    Figure {
        name: "Observation?_count=10",
        bound_us: None,
        plan: |_, _| "/fhir/Observation?_count=10".to_owned(),
    },
    Figure {
        name: "Observation?code=&_sort=-date&_count=10",
        bound_us: None,
        plan: |_, n| {
            let code = n % 10;
            format!("/fhir/Observation?code=http://loinc.org|c{code}&_sort=-date&_count=10")
        },
    },
    Figure {
        name: "Observation?subject:Patient.identifier=&_count=10",
        bound_us: None,
        plan: |records, n| {
            let patient = n * 7 % records.patients;
            format!("/fhir/Observation?subject:Patient.identifier=urn:mrn|{patient}&_count=10")
        },
    },
];

/// Measures at `SIZE_MIN` resources, or at `size` when that is less, and at each tenfold up to `size`.
pub async fn report(folder: &Path, size: u64) {
    let site = Site::start(&folder.join("search"), &[]);
    println!("searches, 2 clients, server CPU a request");
    let mut records = Records::default();
    let mut sizes = vec![SIZE_MIN.min(size)];
    while let Some(last) = sizes.last().filter(|last| **last < size) {
        sizes.push((last * 10).min(size));
    }
    let mut rows: Vec<Vec<f64>> = FIGURES.iter().map(|_| Vec::new()).collect();
    for size in &sizes {
        records.load(site.http, *size).await;
        rest(&site).await;
        println!("  at {} resources", records.resources());
        for (figure, row) in FIGURES.iter().zip(&mut rows) {
            row.push(measure(&site, figure, records).await);
        }
    }
    let sizes: Vec<f64> = sizes.into_iter().map(|size| size as f64).collect();
    println!(
        "  server CPU, us, at so many resources: {:>12} {}",
        "",
        numbers(&sizes)
    );
    for (figure, row) in FIGURES.iter().zip(&rows) {
        judge(figure, row);
    }
}

/// Waits until what was written last lies in the data file: folding it is no part of a request.
async fn rest(site: &Site) {
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        let before = site.cpu_seconds();
        tokio::time::sleep(GLANCE).await;
        let is_busy = site.cpu_seconds() - before > GLANCE.as_secs_f64() * BUSY_SHARE;
        quiet = if is_busy {
            Duration::ZERO
        } else {
            quiet + GLANCE
        };
    }
}

async fn measure(site: &Site, figure: &Figure, records: Records) -> f64 {
    let plan = figure.plan;
    let plan: Plan = Arc::new(move |c, n| ("GET", plan(&records, c * 1009 + n), String::new()));
    let mut taken = Vec::new();
    for _ in 0..SPANS {
        let measured = drive(site.http, 2, SPAN, plan.clone(), || site.cpu_seconds()).await;
        taken.push(measured.cpu_us);
    }
    println!("    {:<50} {} us", figure.name, numbers(&taken));
    taken.sort_by(f64::total_cmp);
    taken[SPANS / 2]
}

fn judge(figure: &Figure, row: &[f64]) {
    let word = |reached: bool| if reached { "reached" } else { "MISSED" };
    let (first, last) = (row[0], row[row.len() - 1]);
    let growth = last / first;
    let bound = match figure.bound_us {
        Some(bound) => format!("(at most {bound:.0}): {}", word(last <= bound)),
        None => "(no limit is set)".to_owned(),
    };
    println!(
        "  {:<50} {} {bound}; {growth:.2} of the first (at most {GROWTH_MAX}): {}",
        figure.name,
        numbers(row),
        word(growth <= GROWTH_MAX)
    );
}

fn numbers(all: &[f64]) -> String {
    let shown: Vec<String> = all.iter().map(|number| format!("{number:>8.0}")).collect();
    shown.join(" ")
}
