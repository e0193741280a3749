//! What matches what, a table for each type of parameter.

use super::*;

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
            ("value-quantity=1e1", false),
            ("value-quantity=7e0", false),
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
fn composites() {
    check(
        OBSERVATION,
        &[
            ("code-value-quantity=718-7$7.2", true),
            (
                "code-value-quantity=http://loinc.org|718-7$gt7.1|http://unitsofmeasure.org|g/dL",
                true,
            ),
            ("code-value-quantity=718-7$gt7.2", false),
            ("code-value-quantity=HB$7.2", true),
            ("code-value-quantity=718-8$7.2", false),
            ("code-value-quantity=x$1,718-7$le7.2", true),
            ("combo-code-value-quantity=718-7$7.2", true),
            ("component-code-value-quantity=718-7$7.2", false),
            ("code-value-string=718-7$x", false),
            ("code-value-quantity:missing=false", true),
            ("code-value-concept:missing=true", true),
        ],
    );
    let pressure = r#"{"resourceType":"Observation","id":"bp","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},
      "component":[{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":140}},
        {"code":{"coding":[{"code":"8462-4"}]},"valueQuantity":{"value":90}}]}"#;
    check(
        pressure,
        &[
            ("component-code-value-quantity=8480-6$140", true),
            // The value of another component does not count.
            ("component-code-value-quantity=8480-6$90", false),
            ("combo-code-value-quantity=8462-4$lt100", true),
            ("code-value-quantity=85354-9$140", false),
        ],
    );
    let measure = r#"{"resourceType":"Measure","id":"m","useContext":[
      {"code":{"system":"http://t.org","code":"focus"},"valueCodeableConcept":{"coding":[{"system":"s","code":"d$1"}]}},
      {"code":{"system":"http://t.org","code":"age"},"valueRange":{"low":{"value":5},"high":{"value":12}}}]}"#;
    check(
        measure,
        &[
            (r"context-type-value=http://t.org|focus$s|d\$1", true),
            (r"context-type-value=age$s|d\$1", false),
            ("context-type-quantity=age$gt11", true),
            ("context-type-quantity=focus$gt11", false),
        ],
    );
    let sequence = r#"{"resourceType":"MolecularSequence","id":"s","coordinateSystem":0,
      "referenceSeq":{"chromosome":{"coding":[{"code":"1"}]},"windowStart":10,"windowEnd":20},
      "variant":[{"start":128273725,"end":128273736}]}"#;
    check(
        sequence,
        &[
            ("chromosome-variant-coordinate=1$128273725$128273736", true),
            ("chromosome-variant-coordinate=2$128273725$128273736", false),
            ("chromosome-window-coordinate=1$lt11$gt19", true),
        ],
    );
    let replaced = r#"{"resourceType":"DocumentReference","id":"d","relatesTo":[
      {"code":"replaces","target":{"reference":"DocumentReference/old"}}]}"#;
    check(
        replaced,
        &[
            ("relationship=replaces$DocumentReference/old", true),
            ("relationship=replaces$old", true),
            ("relationship=appends$old", false),
        ],
    );
}

#[test]
fn units_are_converted() {
    check(
        OBSERVATION,
        &[
            ("value-quantity=72|http://unitsofmeasure.org|g/L", true),
            ("value-quantity=72.0|http://unitsofmeasure.org|g/L", true),
            ("value-quantity=73|http://unitsofmeasure.org|g/L", false),
            (
                "value-quantity=ge7200|http://unitsofmeasure.org|mg/dL",
                true,
            ),
            (
                "value-quantity=gt7200|http://unitsofmeasure.org|mg/dL",
                false,
            ),
            ("value-quantity=7.2|http://unitsofmeasure.org|mmol/L", false),
            // Without a system the unit's own text is meant.
            ("value-quantity=72||g/L", false),
            (
                "code-value-quantity=718-7$72|http://unitsofmeasure.org|g/L",
                true,
            ),
        ],
    );
    let fever = r#"{"resourceType":"Observation","id":"t","valueQuantity":{"value":98.6,"system":"http://unitsofmeasure.org","code":"[degF]"}}"#;
    check(
        fever,
        &[
            ("value-quantity=37.0|http://unitsofmeasure.org|Cel", true),
            ("value-quantity=ge37|http://unitsofmeasure.org|Cel", true),
            ("value-quantity=gt37|http://unitsofmeasure.org|Cel", false),
        ],
    );
    let curve = r#"{"resourceType":"Observation","id":"c","valueSampledData":{"origin":{"value":10,"system":"http://unitsofmeasure.org","code":"mV"},
        "period":10,"factor":0.5,"dimensions":1,"data":"2 -4 E 6 U"}}"#;
    check(
        curve,
        &[
            ("value-quantity=ge13|http://unitsofmeasure.org|mV", true),
            ("value-quantity=gt13", false),
            ("value-quantity=lt8.5", true),
            ("value-quantity=lt8", false),
            ("value-quantity=gt0.0129|http://unitsofmeasure.org|V", true),
        ],
    );
}

#[test]
fn places_sounds_types_and_hierarchies_of_uris() {
    let clinic = r#"{"resourceType":"Location","id":"l","position":{"longitude":39.2026,"latitude":-6.1650}}"#;
    check(
        clinic,
        &[
            ("near=-6.8|39.28|73|km", true),
            ("near=-6.8|39.28|70|km", false),
            ("near=0|0|1|km,-6.165|39.2026|1|m", true),
            ("near:missing=false", true),
        ],
    );
    check(
        PATIENT,
        &[
            ("phonetic=Nguien", true),
            ("phonetic=tee my", true),
            ("phonetic=Smith", false),
            ("phonetic:missing=false", true),
        ],
    );
    let typed = r#"{"resourceType":"Patient","id":"t","identifier":[
      {"type":{"coding":[{"system":"http://t.org/v2-0203","code":"MR"}]},"system":"urn:a","value":"12|3"},
      {"type":{"coding":[{"system":"http://t.org/v2-0203","code":"SS"},{"code":"X"}]},"value":"45"}]}"#;
    check(
        typed,
        &[
            (r"identifier:of-type=http://t.org/v2-0203|MR|12\|3", true),
            ("identifier:of-type=http://t.org/v2-0203|SS|45", true),
            ("identifier:of-type=http://t.org/v2-0203|MR|45", false),
            ("identifier=45", true),
        ],
    );
    let set = r#"{"resourceType":"ValueSet","id":"s","url":"http://x.org/fhir/ValueSet/a"}"#;
    check(
        set,
        &[
            ("url:below=http://x.org/fhir", true),
            ("url:below=http://x.org/fhir/", true),
            ("url:below=http://x.org/fh", false),
            ("url:below=http://x.org/fhir/ValueSet/a", true),
            ("url:above=http://x.org/fhir/ValueSet/a/b", true),
            ("url:above=http://x.org/fhir/ValueSet/ab", false),
            ("url:above=http://x.org/fhir", false),
        ],
    );
}

/// Complaint 21 of fhir-rest.md: trailing zeros lost, precision refused.
#[test]
fn decimals_of_any_precision_are_found_by_what_was_written() {
    for (value, found, missed) in [
        (
            "7.20",
            vec!["7.2", "7.20", "7.200", "7", "ge7.2"],
            vec!["7.201", "7.19", "gt7.2"],
        ),
        ("100", vec!["100", "1e2", "100.0"], vec!["101", "99.4"]),
        (
            "0.000000000000000000012345",
            vec!["1.2345e-20", "gt0"],
            vec!["1.2346e-20", "lt0"],
        ),
        (
            "1e500",
            vec!["1e500", "gt1e499", "sa1"],
            vec!["1e501", "lt1e400"],
        ),
        ("-1E-700", vec!["-1e-700", "lt0"], vec!["gt0"]),
        ("1e99999999999999999999", vec!["gt1e9"], vec!["lt1e9"]),
        (
            "12345678901234567890123456789012345678901234567890123456789.5",
            vec!["12345678901234567890123456789012345678901234567890123456789.5"],
            vec!["12345678901234567890123456789012345678901234567890123456789.4"],
        ),
    ] {
        let resource = format!(
            r#"{{"resourceType":"Observation","id":"d","valueQuantity":{{"value":{value}}}}}"#
        );
        let cases = found
            .iter()
            .map(|text| (text, true))
            .chain(missed.iter().map(|text| (text, false)));
        for (text, expected) in cases {
            check_in(
                &resource,
                &format!("value-quantity={text}"),
                expected,
                &zone("UTC"),
            );
        }
    }
}

/// R4 3.1.1.4.5: `ap` is a tenth of the gap between now and the date, on both sides; here and in
/// composites and filters.
#[test]
fn approximate_dates_depend_on_now() {
    let zone = zone("UTC");
    let day = 86_400_000;
    let check = |born: &str, (name, value): (&str, &str), expected: bool| {
        let resource = tree(&format!(
            r#"{{"resourceType":"Patient","id":"p","birthDate":"{born}"}}"#
        ));
        let values = extract(&resource, &zone);
        // 2024-01-01, 19,723 days after 1970.
        let asking = Asking::new(Handling::Strict, &zone)
            .whole()
            .at(19_723 * day);
        let pairs = [(name.to_owned(), value.to_owned())];
        let query = Query::parse_with("Patient", &pairs, &asking).unwrap();
        assert_eq!(query.matches(&values), expected, "{value}: {born}");
        let terms = values.terms();
        let proposed = |group: &Vec<Vec<u8>>| group.iter().any(|term| terms.contains(term));
        let is_proposed = query.candidates().all_of.iter().all(proposed);
        assert!(is_proposed || !expected, "{value}: {born} is no candidate");
    };
    let date = |value| ("birthdate", value);
    // Ten years before now: 3,652 days, so a year and a day around.
    check("2014-01-01", date("ap2014-01-01"), true);
    check("2012-12-31", date("ap2014-01-01"), true);
    check("2012-12-30", date("ap2014-01-01"), false);
    check("2013-01-02", date("ap2014-01-01"), true);
    check("2015-01-01", date("ap2014-01-01"), true);
    check("2015-01-03", date("ap2014-01-01"), false);
    // A hundred years before: about ten.
    check("1914-03-01", date("ap1924"), true);
    check("1934-09-01", date("ap1924"), true);
    check("1935-06-01", date("ap1924"), false);
    // Today, and within the asked range, there is no gap.
    check("2024-01-01", date("ap2024-01-01"), true);
    check("2023-12-31", date("ap2024-01-01"), false);
    check("2024-12-31", date("ap2024"), true);
    check("2025-01-01", date("ap2024"), false);
    // What is to come: ten days off, one day around.
    check("2024-01-12", date("ap2024-01-11"), true);
    check("2024-01-13", date("ap2024-01-11"), false);
    check("2015-01-01", ("_filter", "birthdate ap 2014-01-01"), true);
    check("2015-01-03", ("_filter", "birthdate ap 2014-01-01"), false);
    check("9999-12-31", date("ap9999-12-31"), true);
    check("0001-01-01", date("ap0001-01-01"), true);
}
