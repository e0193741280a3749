//! What full judgement says of resources that others made: there is nothing to find.

use super::*;
use crate::model::{Limits, Severity, parse};
use std::collections::BTreeMap;
use std::io::Read;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

#[test]
fn synthea_is_sound() {
    let Ok(files) = std::fs::read_dir(format!("{DATA}/synthea")) else {
        eprintln!("skipped: no {DATA}/synthea");
        return;
    };
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0;
    for file in files {
        let mut text = Vec::new();
        let packed = std::fs::File::open(file.unwrap().path()).unwrap();
        let mut reader = bzip2::read::MultiBzDecoder::new(packed);
        reader.read_to_end(&mut text).unwrap();
        let bundle = parse(&text, Limits::default()).unwrap();
        for entry in bundle.items("entry") {
            let resource = entry.get("resource").unwrap();
            count += 1;
            let judged = full(resource, Surroundings::default());
            for issue in judged.issues {
                if issue.severity < Severity::Error && issue.number != "E-VAL-21" {
                    continue;
                }
                let place: String = issue
                    .expression
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .collect();
                *found
                    .entry(format!("{} | {place} | {}", issue.number, issue.text))
                    .or_default() += 1;
            }
        }
    }
    assert!(count > 5_000, "only {count} resources");
    assert!(found.is_empty(), "{found:#?}");
}
