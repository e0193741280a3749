//! How alike two patients are, for `$match`: each field adds or takes away, and the sum is put in
//! proportion to what the fields that were asked could give.
//! <https://hl7.org/fhir/R4/patient-operation-match.html>

use super::kinds::fold::fold;
use crate::model::Json;

/// How sure it is that two are one person (match-grade).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Not,
    Possible,
    Probable,
    Certain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resemblance {
    /// Hundredths, 0 to 100.
    pub score: u8,
    pub grade: Grade,
}

impl Grade {
    /// The code of match-grade.
    pub fn code(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Probable => "probable",
            Self::Possible => "possible",
            Self::Not => "certainly-not",
        }
    }
}

/// What a field says: what it gives, and what it could give.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    gives: i32,
    most: i32,
    /// Equal in full.
    is_same: bool,
    /// Cannot be one person, unless a record is wrong.
    is_against: bool,
}

const NOTHING: Said = Said {
    gives: 0,
    most: 0,
    is_same: false,
    is_against: false,
};

/// Above this a spelling counts as a slip (Jaro-Winkler).
const ALIKE: f64 = 0.9;
const PROBABLE_FROM: u8 = 80;
const POSSIBLE_FROM: u8 = 55;

/// Compares a found patient with the one asked for.
pub fn resemblance(asked: &Json, found: &Json) -> Resemblance {
    let identifier = identifiers(asked, found);
    let family = texts(&families(asked), &families(found), (18, 10, -10));
    let given = texts(&givens(asked), &givens(found), (12, 6, -8));
    let birth = birth_dates(asked, found);
    let gender = genders(asked, found);
    let contact = texts(&contacts(asked), &contacts(found), (8, 0, 0));
    let all = [identifier, family, given, birth, gender, contact];
    let gives: i32 = all.iter().map(|said| said.gives).sum();
    let most: i32 = all.iter().map(|said| said.most).sum();
    let score = (gives.max(0) * 100).checked_div(most).unwrap_or(0).min(100);
    let score = u8::try_from(score).unwrap_or(0);
    let is_named = family.is_same && given.is_same && birth.is_same;
    let is_against = birth.is_against || gender.is_against;
    let is_certain = !is_against && (identifier.is_same || (is_named && !identifier.is_against));
    let grade = match score {
        _ if is_certain && score >= PROBABLE_FROM => Grade::Certain,
        PROBABLE_FROM.. => Grade::Probable,
        POSSIBLE_FROM.. => Grade::Possible,
        _ if identifier.is_same => Grade::Possible,
        _ => Grade::Not,
    };
    Resemblance { score, grade }
}

fn identifiers(asked: &Json, found: &Json) -> Said {
    let pairs = |patient: &Json| -> Vec<(String, String)> {
        let text = |item: &Json, name: &str| item.str_at(&[name]).unwrap_or_default().to_owned();
        let items = patient.items("identifier").iter();
        items
            .map(|item| (text(item, "system"), text(item, "value")))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    };
    let (asked, found) = (pairs(asked), pairs(found));
    if asked.is_empty() {
        return NOTHING;
    }
    let fits =
        |a: &(String, String), b: &(String, String)| a.1 == b.1 && (a.0 == b.0 || a.0.is_empty());
    let is_same = asked.iter().any(|a| found.iter().any(|b| fits(a, b)));
    let shares_system = asked.iter().any(|a| found.iter().any(|b| a.0 == b.0));
    match (is_same, shares_system) {
        (true, _) => Said {
            gives: 60,
            most: 60,
            is_same: true,
            is_against: false,
        },
        (false, true) => Said {
            gives: -20,
            most: 10,
            is_same: false,
            is_against: true,
        },
        (false, false) => NOTHING,
    }
}

/// `same`, `alike`, `other`: what the best pair of two lists gives.
fn texts(asked: &[String], found: &[String], (same, alike, other): (i32, i32, i32)) -> Said {
    if asked.is_empty() {
        return NOTHING;
    }
    let said = |gives, is_same| Said {
        gives,
        most: same,
        is_same,
        is_against: false,
    };
    if found.is_empty() {
        return said(0, false);
    }
    let pairs = asked.iter().flat_map(|a| found.iter().map(move |b| (a, b)));
    let mut best = None;
    for (a, b) in pairs {
        let close = match a == b {
            true => return said(same, true),
            false => is_initial(a, b) || strsim::jaro_winkler(a, b) >= ALIKE,
        };
        best = best.max(Some(close));
    }
    match best {
        Some(true) => said(alike, false),
        _ => said(other, false),
    }
}

/// `J` for `Juma`.
fn is_initial(a: &str, b: &str) -> bool {
    let is_short = a.chars().count() == 1 || b.chars().count() == 1;
    is_short && (a.starts_with(b) || b.starts_with(a))
}

fn birth_dates(asked: &Json, found: &Json) -> Said {
    let date = |patient: &Json| patient.str_at(&["birthDate"]).map(str::to_owned);
    let Some(asked) = date(asked) else {
        return NOTHING;
    };
    let said = |gives, is_same, is_against| Said {
        gives,
        most: 20,
        is_same,
        is_against,
    };
    let Some(found) = date(found) else {
        return said(0, false, false);
    };
    let parts = |text: &str| -> Vec<String> { text.split('-').map(str::to_owned).collect() };
    let (a, b) = (parts(&asked), parts(&found));
    let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let is_swapped = match (a.as_slice(), b.as_slice()) {
        ([y, m, d], [y2, m2, d2]) => y == y2 && m == d2 && d == m2,
        _ => false,
    };
    match differing {
        0 if a.len() == b.len() => said(20, a.len() == 3, false),
        // One of them is less exact.
        0 => said(12, false, false),
        _ if is_swapped => said(10, false, false),
        1 if a.len() == 3 && b.len() == 3 => said(8, false, false),
        _ => said(-20, false, true),
    }
}

fn genders(asked: &Json, found: &Json) -> Said {
    let gender = |patient: &Json| {
        let text = patient.str_at(&["gender"]).map(str::to_owned);
        text.filter(|gender| gender != "unknown")
    };
    match (gender(asked), gender(found)) {
        (None, _) => NOTHING,
        (Some(asked), Some(found)) if asked == found => Said {
            gives: 5,
            most: 5,
            is_same: true,
            is_against: false,
        },
        (Some(_), None) => Said { most: 5, ..NOTHING },
        (Some(_), Some(_)) => Said {
            gives: -15,
            most: 5,
            is_same: false,
            is_against: true,
        },
    }
}

fn families(patient: &Json) -> Vec<String> {
    let names = patient.items("name").iter();
    folded(names.filter_map(|name| name.str_at(&["family"])))
}

fn givens(patient: &Json) -> Vec<String> {
    let names = patient.items("name").iter();
    let given = names.flat_map(|name| name.items("given"));
    folded(given.filter_map(Json::as_str))
}

/// Telephone numbers by their digits, addresses of mail by their letters.
fn contacts(patient: &Json) -> Vec<String> {
    let values = patient.items("telecom").iter();
    let values = values.filter_map(|contact| contact.str_at(&["value"]));
    let plain = values.map(|value| match value.contains('@') {
        true => value.to_lowercase(),
        false => {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            digits.trim_start_matches('0').to_owned()
        }
    });
    plain.filter(|value| !value.is_empty()).collect()
}

fn folded<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let folded = texts.map(fold);
    folded.filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, parse};

    const KNOWN: &str = r#"{"identifier":[{"system":"urn:nid","value":"7"}],"name":[{"family":"Juma","given":["Amina","Zawadi"]}],"birthDate":"1991-05-02","gender":"female","telecom":[{"value":"+255 700 100 200"}]}"#;

    #[track_caller]
    fn check(asked: &str, expected: &str) {
        let tree = |text: &str| parse(text.as_bytes(), Limits::default()).unwrap();
        let found = resemblance(&tree(asked), &tree(KNOWN));
        assert_eq!(
            format!("{} {}", found.grade.code(), found.score),
            expected,
            "{asked}"
        );
    }

    fn named(family: &str, given: &str, birth: &str, gender: &str) -> String {
        format!(
            r#"{{"name":[{{"family":"{family}","given":["{given}"]}}],"birthDate":"{birth}","gender":"{gender}"}}"#
        )
    }

    #[test]
    fn fields_are_weighed() {
        check(
            r#"{"identifier":[{"system":"urn:nid","value":"7"}]}"#,
            "certain 100",
        );
        check(
            r#"{"identifier":[{"system":"urn:nid","value":"7"}],"birthDate":"1950-01-01"}"#,
            "possible 50",
        );
        check(
            r#"{"identifier":[{"system":"urn:nid","value":"8"}]}"#,
            "certainly-not 0",
        );
        check(
            &named("JUMA", "amina", "1991-05-02", "female"),
            "certain 100",
        );
        check(
            &named("Juma", "Zawadi", "1991-05-02", "female"),
            "certain 100",
        );
        check(
            &named("Jumaa", "Amina", "1991-05-02", "female"),
            "probable 85",
        );
        check(&named("Juma", "A", "1991-05-02", "female"), "probable 89");
        check(
            &named("Juma", "Amina", "1991-02-05", "female"),
            "probable 81",
        );
        check(&named("Juma", "Amina", "1991", "female"), "probable 85");
        check(
            &named("Juma", "Amina", "1960-09-12", "female"),
            "certainly-not 27",
        );
        check(&named("Juma", "Amina", "1991-05-02", "male"), "possible 63");
        check(
            &named("Okello", "Peter", "1991-05-02", "female"),
            "certainly-not 12",
        );
        check(
            r#"{"name":[{"family":"Juma"}],"telecom":[{"value":"0255700100200"}]}"#,
            "probable 100",
        );
        check("{}", "certainly-not 0");
    }
}
