//! What matches what, as tables; the terms of two resources as text.

mod canonicals;
mod filters;
mod grammar;
mod harms;
mod made;
mod matching;
mod oracle;
mod posting;
mod random;
mod requests;

use super::*;
use crate::model::{Limits, parse};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1",
  "meta":{"lastUpdated":"2024-05-01T09:30:00.250+03:00","profile":["http://example.org/p"],
    "tag":[{"system":"http://example.org/tags","code":"Login Location"}]},
  "active":true,
  "identifier":[{"system":"urn:oid:1.2","value":"A,1|b","type":{"text":"Clinic number"}},{"value":"77"}],
  "name":[{"use":"official","family":"Nguyễn","given":["Thị Mai","Ánh"]},{"text":"Madam O'Brien"}],
  "telecom":[{"system":"phone","value":"+255 712 345"},{"system":"email","value":"m@x.org"}],
  "gender":"female","birthDate":"1980",
  "address":[{"use":"home","line":["Rue d'Été 5"],"city":"NAIROBI"}],
  "managingOrganization":{"reference":"Organization/o1/_history/3"},
  "generalPractitioner":[{"reference":"http://elsewhere.org/fhir/Practitioner/7"},
    {"type":"Practitioner","identifier":{"system":"urn:s","value":"x9"}}]}"#;

const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"o1","status":"final",
  "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],
  "code":{"coding":[{"system":"http://loinc.org","code":"718-7","display":"Hemoglobin in Blood"},{"code":"HB"}],"text":"Haemoglobin"},
  "subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2024-01-10T08:00:00+03:00","end":"2024-01-12"},
  "valueQuantity":{"value":7.20,"unit":"g/dl","system":"http://unitsofmeasure.org","code":"g/dL"}}"#;

fn zone(name: &str) -> Zone {
    Zone::of(jiff::tz::TimeZone::get(name).unwrap())
}

fn tree(text: &str) -> Json {
    parse(text.as_bytes(), Limits::default()).unwrap()
}

/// The decoded pairs of a query string, `%XX` aside.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |p: &str| p.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    query.split('&').filter_map(pair).collect()
}

fn query(resource_type: &str, text: &str, zone: &Zone) -> Query {
    Query::parse(resource_type, &pairs(text), Handling::Strict, zone)
        .unwrap_or_else(|issues| panic!("{text}: {issues:?}"))
}

/// Checks the evaluator, and that the candidates would have found the match.
fn check_in(resource: &str, text: &str, expected: bool, zone: &Zone) {
    let resource = tree(resource);
    let query = query(resource.resource_type().unwrap(), text, zone);
    let values = SearchValues::decode(&extract(&resource, zone).encode(), zone).unwrap();
    assert_eq!(query.matches(&values), expected, "{text} in {zone:?}");
    let terms = values.terms();
    let proposed = |group: &Vec<Vec<u8>>| group.iter().any(|term| terms.contains(term));
    let proposed = query.candidates().all_of.iter().all(proposed);
    assert!(proposed || !expected, "{text}: not among the candidates");
}

fn check(resource: &str, cases: &[(&str, bool)]) {
    for (text, expected) in cases {
        check_in(resource, text, *expected, &zone("UTC"));
    }
}
