//! Prints how long ten megabytes take to be judged in full: `cargo bench -p fhir-mapping`. The limit
//! is two seconds of one processor; what is slower is marked.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a report's only output is what it prints
#![allow(clippy::disallowed_methods)] // a stopwatch is this file's purpose

mod dense;

use fhir_mapping::model::{IssueCode, Limits, parse};
use fhir_mapping::validate::{Surroundings, full};
use std::time::Instant;

const BYTES: usize = 10_000_000;
const LIMIT_MS: u128 = 2_000;

fn main() {
    println!("10 MB judged in full, of these parts (at most {LIMIT_MS} ms)");
    for text in dense::dense(BYTES) {
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let start = Instant::now();
        let judged = full(&resource, Surroundings::default());
        let taken = start.elapsed().as_millis();
        let is_cut = judged.issues.iter().any(|i| i.code == IssueCode::TooCostly);
        let verdict = match (is_cut, taken <= LIMIT_MS) {
            (true, _) => "CUT",
            (false, true) => "reached",
            (false, false) => "MISSED",
        };
        let shown: String = text.chars().skip(17).take(60).collect();
        println!("  {taken:>6} ms  {verdict:<8} {shown}");
    }
}
