//! What matches what, as tables; the terms of two resources as text.

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
    Zone(jiff::tz::TimeZone::get(name).unwrap())
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
    let values = SearchValues::decode(&extract(&resource, zone).encode()).unwrap();
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

#[test]
fn tokens() {
    check(
        PATIENT,
        &[
            ("gender=female", true),
            ("gender=male,female", true),
            ("gender=male", false),
            (
                "gender=http://hl7.org/fhir/administrative-gender|female",
                true,
            ),
            ("gender=http://example.org|female", false),
            ("gender=|female", true),
            ("gender:not=male", true),
            ("gender:not=female,male", false),
            ("gender:missing=false", true),
            ("gender:missing=true", false),
            ("active=true", true),
            ("active=false", false),
            ("deceased=false", true),
            ("deceased=true", false),
            (r"identifier=urn:oid:1.2|A\,1\|b", true),
            (r"identifier=A\,1\|b", true),
            ("identifier=urn:oid:1.2|", true),
            ("identifier=urn:oid:1.3|", false),
            ("identifier=|77", true),
            (r"identifier=|A\,1\|b", false),
            ("identifier:text=clinic", true),
            ("identifier:text=number", true),
            ("identifier:text=linic", false),
            ("phone=+255 712 345", true),
            ("email=+255 712 345", false),
            ("telecom=m@x.org", true),
            ("address-use=home", true),
            ("_id=p1", true),
            ("_id=p2,p1", true),
            ("_id=p2", false),
            ("_tag=Login Location", true),
            ("_tag=http://example.org/tags|Login Location", true),
            ("_tag=other", false),
            ("_security:missing=true", true),
            ("language:missing=false", false),
        ],
    );
    check(
        OBSERVATION,
        &[
            ("code=718-7", true),
            ("code=http://loinc.org|718-7", true),
            ("code=http://snomed.info/sct|718-7", false),
            ("code=|HB", true),
            ("code=|718-7", false),
            ("code:text=haemo", true),
            ("code:text=blood", true),
            ("code:not=HB", false),
            ("combo-code=HB", true),
            ("category=laboratory&code=718-7&status=final", true),
            ("category=vital-signs&code=718-7", false),
        ],
    );
}

#[test]
fn strings() {
    check(
        PATIENT,
        &[
            ("family=nguy", true),
            ("family=NGUYEN", true),
            ("family=Nguyễn", true),
            ("family=guyen", false),
            ("family:contains=GUY", true),
            ("family:exact=Nguyễn", true),
            ("family:exact=Nguyen", false),
            ("family:exact=nguyễn", false),
            ("given=thi m", true),
            ("given=mai", false),
            ("given=anh", true),
            ("given=a", true),
            ("name=nguyen", true),
            ("name=madam obrien", true),
            ("name=official", false),
            ("name=x,madam", true),
            ("family=x&given=anh", false),
            ("address=rue dete", true),
            ("address-city=nairobi", true),
            ("address-city:missing=false", true),
            ("address-state:missing=true", true),
            ("family=nguyenabcdefgh", false),
        ],
    );
}

#[test]
fn references() {
    check(
        PATIENT,
        &[
            ("organization=Organization/o1", true),
            ("organization=o1", true),
            ("organization:Organization=o1", true),
            ("organization=Organization/o2", false),
            (
                "general-practitioner=http://elsewhere.org/fhir/Practitioner/7",
                true,
            ),
            ("general-practitioner=Practitioner/7", false),
            ("general-practitioner:identifier=urn:s|x9", true),
            ("general-practitioner:identifier=x9", true),
            ("general-practitioner:identifier=urn:t|x9", false),
            ("link:missing=true", true),
        ],
    );
    check(
        OBSERVATION,
        &[
            ("patient=p1", true),
            ("patient=Patient/p1", true),
            ("subject=p1", true),
            ("subject:Patient=p1", true),
            ("subject:Group=p1", false),
            ("patient=p2,Patient/p1", true),
            ("encounter=Patient/p1", false),
        ],
    );
    let provenance = r#"{"resourceType":"Provenance","id":"v","target":[{"reference":"Basic/b"}]}"#;
    check(
        provenance,
        &[
            ("target=b", true),
            ("target=Basic/b", true),
            ("target=c", false),
        ],
    );
    let instance = r#"{"resourceType":"PlanDefinition","id":"d","library":["http://x.org/L|2.0"]}"#;
    check(
        instance,
        &[
            ("depends-on=http://x.org/L", true),
            ("depends-on=http://x.org/L|2.0", true),
            ("depends-on=http://x.org/L|3.0", false),
            (r"depends-on=http://x.org/L\|2.0", true),
        ],
    );
}

#[test]
fn references_of_own_address() {
    let mut query = query(
        "Observation",
        "subject=http://here:8080/fhir/Patient/p1",
        &zone("UTC"),
    );
    let values = extract(&tree(OBSERVATION), &zone("UTC"));
    assert!(!query.matches(&values));
    query.localize("http://here:8080/fhir");
    assert!(query.matches(&values));
    assert_eq!(
        values.references("subject"),
        [("Patient".to_owned(), "p1".to_owned())]
    );
    assert_eq!(values.references("code"), []);
}

#[test]
fn dates() {
    check(
        PATIENT,
        &[
            ("birthdate=1980", true),
            ("birthdate=1980-05", false),
            ("birthdate=ge1980-06-01", true),
            ("birthdate=le1980-06-01", true),
            ("birthdate=gt1980", false),
            ("birthdate=lt1980", false),
            ("birthdate=gt1979", true),
            ("birthdate=lt1981", true),
            ("birthdate=ne1980", false),
            ("birthdate=ne1981", true),
            ("birthdate=sa1979", true),
            ("birthdate=sa1979-12-31", true),
            ("birthdate=sa1980-01-01", false),
            ("birthdate=eb1981", true),
            ("birthdate=eb1980-12-31", false),
            ("birthdate=ap1981", true),
            ("birthdate=ap1990", false),
            ("birthdate=ge1979&birthdate=lt1985", true),
            ("birthdate=ge1850", true),
            ("birthdate=le2200", true),
            ("_lastUpdated=2024-05-01", true),
            ("_lastUpdated=2024-05-01T06:30:00Z", true),
            ("_lastUpdated=2024-05-01T06:30:00.250Z", true),
            ("_lastUpdated=2024-05-01T06:30:00.251Z", false),
            ("_lastUpdated=gt2024-05-01T06:30:00.249Z", true),
            ("_lastUpdated=gt2024-05-01T06:30:00.250Z", false),
            ("_lastUpdated=gt2024-05-01T09:30:00.249+03:00", true),
            ("death-date:missing=true", true),
        ],
    );
    check(
        OBSERVATION,
        &[
            ("date=2024-01", true),
            ("date=2024-01-11", false),
            ("date=ge2024-01-12", true),
            ("date=ge2024-01-13", false),
            ("date=le2024-01-10", true),
            ("date=le2024-01-09", false),
            ("date=lt2024-01-10T05:00:00Z", false),
            ("date=lt2024-01-10T05:00:01Z", true),
            ("date=ap2024-01-13", true),
        ],
    );
    let open = r#"{"resourceType":"Encounter","id":"e","period":{"start":"2024-01-10"}}"#;
    check(
        open,
        &[
            ("date=ge2030", true),
            ("date=2024", false),
            ("date=gt2024-01-09", true),
            ("date=lt2024-01-10", false),
            ("date=eb2050", false),
        ],
    );
    let long = r#"{"resourceType":"Encounter","id":"e","period":{"start":"2024-01-10","end":"2024-02-20"}}"#;
    check(
        long,
        &[
            ("date=ge2024-02-20", true),
            ("date=2024", true),
            ("date=ge2024-01-15&date=le2024-01-16", true),
            ("date=ap2024-01-31", true),
        ],
    );
    let ancient = r#"{"resourceType":"Patient","id":"e","birthDate":"1712-06-28"}"#;
    check(
        ancient,
        &[
            ("birthdate=1712-06-28", true),
            ("birthdate=lt1900", true),
            ("birthdate=1712-06-29", false),
        ],
    );
}

#[test]
fn last_updated_is_set_later() {
    let zone = zone("UTC");
    let find = query(
        "Observation",
        "_lastUpdated=2024-05-01T06:30:00.250Z",
        &zone,
    );
    let mut values = extract(&tree(OBSERVATION), &zone);
    assert!(!find.matches(&values));
    let before = values.terms();
    values.set_last_updated(1_714_545_000_250);
    assert!(find.matches(&values));
    assert_eq!(values.terms().len(), before.len() + 4);
    values.set_last_updated(0);
    assert!(!find.matches(&values));
    let stamped = extract(&tree(PATIENT), &zone);
    let mut again = stamped.clone();
    again.set_last_updated(1_714_545_000_250);
    assert_eq!(again, stamped);
}

/// A result must not depend on the machine; only on the zone that the site has chosen.
#[test]
fn dates_in_zones() {
    for (name, first_hour) in [
        ("UTC", "2023-12-31T23:30:00Z"),
        ("Africa/Dar_es_Salaam", "2023-12-31T20:30:00Z"),
        ("Asia/Karachi", "2023-12-31T18:30:00Z"),
    ] {
        let zone = zone(name);
        let day = r#"{"resourceType":"Patient","id":"d","birthDate":"2024-01-01"}"#;
        for (text, expected) in [
            ("birthdate=2024-01-01", true),
            ("birthdate=2024", true),
            ("birthdate=2023-12-31", false),
            ("birthdate=ge2024-01-01T00:00", true),
            ("birthdate=sa2023-12-31", true),
            ("birthdate=lt2024-01-01", false),
            ("birthdate=2023", false),
        ] {
            check_in(day, text, expected, &zone);
        }
        let at = format!(
            r#"{{"resourceType":"Observation","id":"t","status":"final","code":{{}},"effectiveDateTime":"{first_hour}"}}"#
        );
        for (text, expected) in [
            ("date=2023-12-31", true),
            ("date=2024-01-01", false),
            ("date=2023-12-31T23:30", true),
            ("date=lt2024", true),
        ] {
            check_in(&at, text, expected, &zone);
        }
    }
}

#[test]
fn quantities_and_uris() {
    check(
        OBSERVATION,
        &[
            ("value-quantity=7.2", true),
            ("value-quantity=7.20", true),
            ("value-quantity=7.201", false),
            ("value-quantity=7", true),
            ("value-quantity=7.2|http://unitsofmeasure.org|g/dL", true),
            ("value-quantity=7.2||g/dl", true),
            ("value-quantity=7.2||mg", false),
            ("value-quantity=7.2|http://other.org|g/dL", false),
            ("value-quantity=gt7.2", false),
            ("value-quantity=ge7.2", true),
            ("value-quantity=lt7.3", true),
            ("value-quantity=le7.1", false),
            ("value-quantity=ne7.2", false),
            ("value-quantity=ap7.5", true),
            ("value-quantity=ap9", false),
            ("value-quantity=8e0", false),
            ("value-quantity=1e1", true),
            ("value-quantity:missing=false", true),
        ],
    );
    let risk = r#"{"resourceType":"RiskAssessment","id":"r","prediction":[{"probabilityDecimal":0.000168}]}"#;
    check(
        risk,
        &[
            ("probability=0.000168", true),
            ("probability=gt0.0002", false),
            ("probability=lt1e-3", true),
        ],
    );
    let set = r#"{"resourceType":"ValueSet","id":"s","url":"http://x.org/vs","version":"1"}"#;
    check(
        set,
        &[
            ("url=http://x.org/vs", true),
            ("url=http://x.org/v", false),
            ("url=http://x.org/VS", false),
        ],
    );
    check(
        PATIENT,
        &[
            ("_profile=http://example.org/p", true),
            ("_source:missing=true", true),
        ],
    );
}

#[test]
fn refused_and_left_out() {
    let refusal = |handling, text: &str| match Query::parse(
        "Patient",
        &pairs(text),
        handling,
        &zone("UTC"),
    ) {
        Ok(query) => format!("ok {}", query.self_link()),
        Err(issues) => issues
            .iter()
            .map(|i| i.number)
            .collect::<Vec<_>>()
            .join(" "),
    };
    for (text, strict, lenient) in [
        ("nonsense=1&gender=male", "E-SEARCH-6", "ok gender=male"),
        ("phonetic=x", "E-SEARCH-6", "ok "),
        ("gender:exact=x", "E-SEARCH-2", "E-SEARCH-2"),
        ("family:above=x", "E-SEARCH-2", "E-SEARCH-2"),
        ("organization:Nothing=x", "E-SEARCH-2", "E-SEARCH-2"),
        (
            "organization:Organization=Patient/1",
            "E-SEARCH-3",
            "E-SEARCH-3",
        ),
        ("birthdate=yesterday", "E-SEARCH-3", "E-SEARCH-3"),
        ("gender:missing=perhaps", "E-SEARCH-3", "E-SEARCH-3"),
        ("organization.name=x", "E-SEARCH-5", "E-SEARCH-5"),
        (
            "general-practitioner:Practitioner.name=x",
            "E-SEARCH-5",
            "E-SEARCH-5",
        ),
        (
            "_has:Observation:patient:code=x",
            "E-SEARCH-5",
            "E-SEARCH-5",
        ),
        ("_elements=id", "E-SEARCH-6", "ok "),
        ("_summary=text", "E-SEARCH-6", "ok "),
        ("_sort=nonsense", "E-SEARCH-6", "ok "),
        ("_count=-1", "E-SEARCH-7", "E-SEARCH-7"),
        ("_include=*", "E-SEARCH-6", "ok "),
        ("_include=Patient:gender", "E-SEARCH-6", "ok "),
        ("_include:iterate=Patient:organization", "E-SEARCH-6", "ok "),
        ("_revinclude=Observation:patient", "E-SEARCH-6", "ok "),
        (
            "=&name=&_format=json&_pretty=true",
            "ok _format=json&_pretty=true",
            "ok _format=json&_pretty=true",
        ),
        (
            "name=a b|c&_sort=-birthdate,name&_count=5",
            "ok name=a%20b%7Cc&_sort=-birthdate,name&_count=5",
            "ok name=a%20b%7Cc&_sort=-birthdate,name&_count=5",
        ),
    ] {
        assert_eq!(refusal(Handling::Strict, text), strict, "{text}");
        assert_eq!(refusal(Handling::Lenient, text), lenient, "{text}");
    }
}

#[test]
fn result_parameters() {
    let ask = |text| query("Patient", text, &zone("UTC"));
    let full =
        ask("_count=7&_include=Patient:organization&_include=Patient:link:Patient&_total=accurate");
    assert_eq!(
        (full.count(), full.wants_total(), full.is_count_only()),
        (Some(7), true, false)
    );
    assert!(full.is_unrestricted());
    assert_eq!(full.includes().len(), 2);
    assert_eq!(full.candidates().all_of, [[b"Patient".to_vec()]]);
    assert_eq!(full.sort_key(&extract(&tree(PATIENT), &zone("UTC"))), None);
    let count = ask("_summary=count&gender=male");
    assert!(count.is_count_only() && count.wants_total() && !count.is_unrestricted());
}

#[test]
fn sorting() {
    let patients = [
        (
            "a",
            r#""birthDate":"1980-01-02","name":[{"family":"Zulu"},{"family":"Ábel"}]"#,
        ),
        (
            "b",
            r#""birthDate":"1980","name":[{"family":"abel junior"}]"#,
        ),
        ("c", r#""name":[{"family":"mwangi"}]"#),
        ("d", r#""birthDate":"1950-07-01""#),
    ];
    let order = |sort: &str| {
        let query = query("Patient", &format!("_sort={sort}"), &zone("UTC"));
        let mut keyed: Vec<_> = patients
            .iter()
            .map(|(id, members)| {
                let text = format!(r#"{{"resourceType":"Patient","id":"{id}",{members}}}"#);
                (query.sort_key(&extract(&tree(&text), &zone("UTC"))), *id)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, id)| id).collect::<String>()
    };
    for (sort, expected) in [
        ("birthdate", "dbac"),
        ("-birthdate", "abdc"),
        ("family", "abcd"),
        ("-family", "acbd"),
        ("-_id", "dcba"),
        ("gender,-_id", "dcba"),
    ] {
        assert_eq!(order(sort), expected, "{sort}");
    }
}

#[test]
fn sorting_numbers() {
    let key = |value: &str| {
        let text = format!(
            r#"{{"resourceType":"Observation","id":"x","valueQuantity":{{"value":{value}}}}}"#
        );
        query("Observation", "_sort=value-quantity", &zone("UTC"))
            .sort_key(&extract(&tree(&text), &zone("UTC")))
    };
    let ascending = [
        "-1e9", "-20.5", "-20", "-3", "-0.001", "0", "0.0010", "0.9", "3", "20", "20.5", "1e9",
    ];
    for pair in ascending.windows(2) {
        assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
    }
    assert_eq!(key("7.20"), key("7.2"));
}

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
            SearchValues::decode(&values.encode()).as_ref(),
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
