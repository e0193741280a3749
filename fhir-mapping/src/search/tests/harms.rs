//! Tests named after what users of other servers complained about.

use super::*;

/// A modifier on a parameter that does not have it is refused by name, in a chain too; it is never
/// left out silently, which would widen the answer.
#[test]
fn modifiers_are_never_ignored_silently() {
    let zone = zone("UTC");
    let samples = [
        ("Observation", "code", "a"),
        ("Patient", "family", "a"),
        ("Observation", "subject", "Patient/1"),
        ("Patient", "birthdate", "2020"),
        ("ValueSet", "url", "http://x.org"),
        ("RiskAssessment", "probability", "1"),
        ("Observation", "value-quantity", "1"),
        ("Observation", "code-value-quantity", "a$1"),
        ("Location", "near", "0|0"),
        ("Patient", "phonetic", "ann"),
    ];
    let modifiers = [
        "missing",
        "exact",
        "contains",
        "text",
        "not",
        "in",
        "not-in",
        "above",
        "below",
        "identifier",
        "of-type",
        "Patient",
        "nonsense",
    ];
    let mut table = String::new();
    for (resource_type, name, value) in samples {
        let mut accepted = Vec::new();
        for modifier in modifiers {
            let value = match modifier {
                "missing" => "true",
                "of-type" => "s|c|v",
                _ => value,
            };
            for handling in [Handling::Strict, Handling::Lenient] {
                let asking = Asking::new(handling, &zone).whole();
                let pairs = [(format!("{name}:{modifier}"), value.to_owned())];
                match Query::parse_with(resource_type, &pairs, &asking) {
                    Ok(query) => {
                        assert_eq!(query.conditions().len(), 1, "{name}:{modifier}");
                        accepted.push(modifier);
                    }
                    Err(issues) if issues[0].number == "E-SEARCH-13" => accepted.push(modifier),
                    Err(issues) => {
                        let text = &issues[0].text;
                        assert!(text.starts_with(name), "{name}:{modifier}: {text}");
                    }
                }
            }
        }
        accepted.dedup();
        table.push_str(&format!("{name}: {}\n", accepted.join(" ")));
    }
    insta::assert_snapshot!(table, @r"
    code: missing text not in not-in above below of-type
    family: missing exact contains
    subject: missing identifier Patient
    birthdate: missing
    url: missing above below
    probability: missing
    value-quantity: missing
    code-value-quantity: missing
    near: missing
    phonetic: missing
    ");
}

/// The same results wherever the server stands; lower bounds find what is only known by its year.
#[test]
fn dates_do_not_shift_with_the_machine() {
    let born = r#"{"resourceType":"Patient","id":"y","birthDate":"1980"}"#;
    let seen = r#"{"resourceType":"Encounter","id":"e","period":{"start":"2024-03-01T23:30:00+03:00","end":"2024-03-02"}}"#;
    for name in [
        "UTC",
        "Africa/Dar_es_Salaam",
        "Asia/Karachi",
        "America/New_York",
    ] {
        let zone = zone(name);
        for (text, expected) in [
            ("birthdate=ge1980-06-01", true),
            ("birthdate=le1980-06-01", true),
            ("birthdate=1980", true),
            ("birthdate=ge1981", false),
            ("birthdate=lt1980", false),
        ] {
            check_in(born, text, expected, &zone);
        }
        for (text, expected) in [
            ("date=2024-03-01T23:30:00+03:00", false),
            ("date=ge2024-03-01T20:30:00Z", true),
            ("date=sa2024-03-01T20:29:00Z", true),
            ("date=2024-03", true),
        ] {
            check_in(seen, text, expected, &zone);
        }
    }
}

/// Whatever a resource holds, it is found by it: extreme lengths, numbers, characters and dates.
#[test]
fn never_stored_but_unfindable() {
    let texts = [
        "x".repeat(100_000),
        "é".repeat(3_000),
        "\u{1f600}\u{1f3fd}".to_owned(),
        "a\u{0}b".to_owned(),
        "\u{1}\u{2}".to_owned(),
        "---".to_owned(),
        "\u{301}".to_owned(),
        "\u{feff}\u{200b}".to_owned(),
        "\u{10ffff}".to_owned(),
        "a,b|c$d\\e".to_owned(),
        "100% _ * ? [x] ' \" ; --".to_owned(),
        "ΟΔΥΣΣΕΥΣ ς".to_owned(),
        "İstanbul ﬁ Ǆ".to_owned(),
        "   ".to_owned(),
    ];
    for text in &texts {
        let name = Json::object([("family", text.as_str().into())]);
        let identifier = Json::object([("value", text.as_str().into())]);
        let patient = Json::object([
            ("resourceType", "Patient".into()),
            ("id", "p".into()),
            ("name", Json::array([name])),
            ("identifier", Json::array([identifier])),
            (
                "meta",
                Json::object([("profile", Json::array([text.as_str().into()]))]),
            ),
        ]);
        for parameter in [
            "family",
            "family:exact",
            "family:contains",
            "name",
            "identifier",
            "_profile",
        ] {
            found_by(&patient, parameter, &escaped(text));
        }
    }
    for date in [
        "9999-12-31",
        "9999",
        "0001-01-01",
        "0001",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ] {
        let patient = Json::object([
            ("resourceType", "Patient".into()),
            ("id", "p".into()),
            ("deceasedDateTime", date.into()),
        ]);
        for prefix in ["", "eq", "ge", "le"] {
            found_by(&patient, "death-date", &format!("{prefix}{date}"));
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn found_by(resource: &Json, name: &str, value: &str) {
    for zone in [zone("UTC"), zone("Asia/Karachi"), zone("America/New_York")] {
        let pairs = [(name.to_owned(), value.to_owned())];
        let query = Query::parse("Patient", &pairs, Handling::Strict, &zone).unwrap();
        let values = SearchValues::decode(&extract(resource, &zone).encode(), &zone).unwrap();
        let shown: String = value.chars().take(40).collect();
        assert!(query.matches(&values), "{name}={shown:?} in {zone:?}");
        let terms = values.terms();
        for group in query.candidates().all_of {
            assert!(
                group.iter().any(|t| terms.contains(t)),
                "{name}={shown:?} is no candidate"
            );
        }
    }
}
