//! Never stored but unfindable: whatever is accepted is found by each of its values, and characters
//! that other stores match by mean nothing.

use super::*;
use fhir_mapping::search::encode_pairs;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn text(&mut self) -> String {
        const SIGNS: [char; 36] = [
            'a',
            'Z',
            '7',
            '|',
            '$',
            ',',
            '\\',
            '%',
            '_',
            '*',
            '?',
            '&',
            '=',
            '+',
            '#',
            '/',
            ':',
            '-',
            '"',
            '\'',
            '<',
            '(',
            '[',
            '{',
            ';',
            '.',
            'é',
            'ß',
            'Ж',
            '中',
            '\u{0661}',
            '\u{1F469}',
            '\u{0301}',
            '\u{200D}',
            '\u{FF0C}',
            '\u{E000}',
        ];
        let length = [1, 2, 5, 9, 40][self.below(5)];
        (0..length)
            .map(|_| SIGNS[self.below(SIGNS.len())])
            .collect()
    }

    fn number(&mut self) -> String {
        let digits = 1 + self.below(18);
        let mut text: String = (0..digits)
            .map(|_| char::from_digit(u32::try_from(1 + self.below(9)).unwrap(), 10).unwrap())
            .collect();
        if digits > 1 && self.below(2) == 0 {
            text.insert(1, '.');
        }
        match self.below(3) {
            0 => text,
            1 => format!("{text}e{}", self.below(60)),
            _ => format!("{text}e-{}", self.below(60)),
        }
    }
}

fn escaped(text: &str) -> String {
    let signs = text.chars().flat_map(|c| {
        let is_special = matches!(c, '\\' | ',' | '|' | '$');
        is_special.then_some('\\').into_iter().chain([c])
    });
    signs.collect()
}

async fn find(site: &Site, resource_type: &str, name: &str, value: &str) -> Vec<String> {
    let query = encode_pairs(&[(name.to_owned(), value.to_owned())]);
    let request = format!("GET {resource_type}?{query}&_count=1000");
    site.page(&request).await.0
}

#[tokio::test]
async fn what_is_accepted_is_found_by_its_values() {
    let site = Site::new();
    let mut dice = Dice(11);
    let mut accepted = 0;
    for round in 0..120 {
        let (number, family) = (dice.text(), dice.text());
        let amount = dice.number();
        let id = format!("r{round}");
        let quoted = |text: &str| fhir_mapping::model::format(&Json::from(text));
        let patient = format!(
            r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:x","value":{}}}],"name":[{{"family":{}}}]}}"#,
            quoted(&number),
            quoted(&family)
        );
        let observation = format!(
            r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"t"}},"valueQuantity":{{"value":{amount},"unit":"u"}}}}"#
        );
        let replies = [
            site.ask(&format!("PUT Patient/{id}"), &[], &patient)
                .await
                .status,
            site.ask(&format!("PUT Observation/{id}"), &[], &observation)
                .await
                .status,
        ];
        if replies[0] == 201 {
            accepted += 1;
            let by_number = format!("urn:x|{}", escaped(&number));
            for (name, value) in [
                ("identifier", by_number.as_str()),
                ("identifier", &escaped(&number)),
                ("family:exact", &escaped(&family)),
                ("family", &escaped(&family)),
                ("family:contains", &escaped(&family)),
            ] {
                let found = find(&site, "Patient", name, value).await;
                assert!(found.contains(&id), "{name}={value}: {patient}");
            }
        }
        if replies[1] == 201 {
            accepted += 1;
            for value in [
                amount.clone(),
                format!("ge{amount}"),
                format!("{amount}||u"),
            ] {
                let found = find(&site, "Observation", "value-quantity", &value).await;
                assert!(found.contains(&id), "{value}: {observation}");
            }
        }
    }
    assert!(accepted > 200, "only {accepted} were accepted");
}

#[tokio::test]
async fn a_long_text_is_found_by_its_beginning_and_whole() {
    let site = Site::new();
    let long = "Ekundayo".repeat(1_250);
    let body = format!(
        r#"{{"resourceType":"Patient","id":"a","name":[{{"family":"{long}"}}],"identifier":[{{"value":"{long}"}}]}}"#
    );
    site.ask("PUT Patient/a", &[], &body).await.ok(201);
    for (name, value) in [
        ("family", long.as_str()),
        ("family:exact", &long),
        ("family", "ekundayoekundayo"),
        ("family:contains", "dayoEkun"),
        ("identifier", &long),
    ] {
        assert_eq!(find(&site, "Patient", name, value).await, ["a"], "{name}");
    }
}

#[tokio::test]
async fn signs_that_other_stores_match_by_mean_nothing() {
    let site = Site::new();
    for (id, family) in [("a", "Abe"), ("b", "%be"), ("c", "*"), ("d", "_be")] {
        let body = format!(
            r#"{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{family}"}}],"identifier":[{{"value":"{family}"}}]}}"#
        );
        site.ask(&format!("PUT Patient/{id}"), &[], &body)
            .await
            .ok(201);
    }
    for (name, value, expected) in [
        // Signs do not count in a name but where they are all of it or the letter is asked.
        ("family", "%", vec![]),
        ("family:exact", "_be", vec!["d"]),
        ("family:exact", "%", vec![]),
        ("identifier", "*", vec!["c"]),
        ("identifier", "%be", vec!["b"]),
        ("identifier", "?be", vec![]),
    ] {
        assert_eq!(
            find(&site, "Patient", name, value).await,
            expected,
            "{name}={value}"
        );
    }
}

/// `_list` names a List, or what resources say of themselves.
#[tokio::test]
async fn current_lists_are_those_of_what_is_active() {
    let site = Site::new();
    let condition = |status: &str, verified: &str| {
        format!(
            r#"{{"resourceType":"Condition","clinicalStatus":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"{status}"}}]}},"verificationStatus":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"{verified}"}}]}},"subject":{{"reference":"Patient/a"}}}}"#
        )
    };
    for (status, verified) in [
        ("active", "confirmed"),
        ("relapse", "provisional"),
        ("resolved", "confirmed"),
        ("active", "refuted"),
    ] {
        site.ask("POST Condition", &[], &condition(status, verified))
            .await
            .ok(201);
    }
    for status in ["active", "stopped"] {
        let request = format!(
            r#"{{"resourceType":"MedicationRequest","status":"{status}","intent":"order","medicationCodeableConcept":{{"text":"x"}},"subject":{{"reference":"Patient/a"}}}}"#
        );
        site.ask("POST MedicationRequest", &[], &request)
            .await
            .ok(201);
        let found = find(&site, "MedicationRequest", "_list", "$current-medications").await;
        assert_eq!(found.len(), 1, "{status}");
    }
    let of_a = "GET Condition?patient=a&_list=$current-problems";
    assert_eq!(site.page(of_a).await.0.len(), 2);
    let none = "GET AllergyIntolerance?_list=$current-drug-allergies";
    assert!(site.page(none).await.0.is_empty());
    site.ask("GET Patient?_list=$current-problems", &[], "")
        .await
        .refused(400, "E-SEARCH-12", "");
}
