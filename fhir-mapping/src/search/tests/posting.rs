//! What is posted: the terms of two resources as text, overflow, every official example.

use super::*;

/// Many values of one parameter become its overflow term: still found, never lost.
#[test]
fn overflow() {
    let identifiers: Vec<String> = (0..300)
        .map(|n| format!(r#"{{"system":"urn:s","value":"v{n}"}}"#))
        .collect();
    let text = format!(
        r#"{{"resourceType":"Patient","id":"m","identifier":[{}]}}"#,
        identifiers.join(",")
    );
    let terms = extract(&tree(&text), &zone("UTC")).terms();
    assert!(terms.contains(&b"Patient/identifier!".to_vec()));
    assert!(terms.len() < 20);
    check(
        &text,
        &[("identifier=urn:s|v299", true), ("identifier=v300", false)],
    );
}

#[test]
fn terms_of_two_resources() {
    let shown = |text: &str| {
        let terms = extract(&tree(text), &zone("UTC")).terms();
        let lines: Vec<_> = terms
            .iter()
            .map(|t| String::from_utf8_lossy(t).into_owned())
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(shown(r#"{"resourceType":"Patient","id":"p1","gender":"female",
        "birthDate":"1980-02-29","name":[{"family":"Mwangi","given":["Jo"]}]}"#), @r"
    Patient
    Patient/_id=p1
    Patient/birthdate?
    Patient/birthdateD1980-02-29
    Patient/birthdateM1980-02
    Patient/birthdateY1980
    Patient/deceased=false
    Patient/family=mwangi
    Patient/family?
    Patient/family^mw
    Patient/family^mwa
    Patient/family^mwang
    Patient/gender=female
    Patient/given=jo
    Patient/given?
    Patient/given^jo
    Patient/name=jo
    Patient/name=mwangi
    Patient/name?
    Patient/name^jo
    Patient/name^mw
    Patient/name^mwa
    Patient/name^mwang
    ");
    insta::assert_snapshot!(shown(OBSERVATION), @r"
    Observation
    Observation/_id=o1
    Observation/category=laboratory
    Observation/code=718-7
    Observation/code=HB
    Observation/combo-code=718-7
    Observation/combo-code=HB
    Observation/combo-value-quantity?
    Observation/date?
    Observation/dateD2024-01-10
    Observation/dateD2024-01-11
    Observation/dateD2024-01-12
    Observation/dateM2024-01
    Observation/dateY2024
    Observation/patient=Patient/p1
    Observation/status=final
    Observation/subject=Patient/p1
    Observation/value-quantity?
    ");
}

#[test]
fn every_official_example() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no official examples beside this repository");
        return;
    };
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let Ok(resource) = parse(&bytes, Limits::default()) else {
            continue;
        };
        let values = extract(&resource, &zone("UTC"));
        assert_eq!(
            SearchValues::decode(&values.encode(), &zone("UTC")).as_ref(),
            Some(&values),
            "{path:?}"
        );
        let terms = values.terms();
        assert!(
            terms.len() <= 500 + 120,
            "{path:?} has {} terms",
            terms.len()
        );
        assert!(terms.windows(2).all(|pair| pair[0] < pair[1]), "{path:?}");
        count += 1;
    }
    assert!(count > 600, "only {count} examples were read");
}
