//! Finds the patient a device message speaks of.

use super::Repository;
use super::search::Finder;
use fhir_mapping::draft::Demographics;
use fhir_mapping::model::{Json, Limits, Reference, parse};
use fhir_mapping::search::{Handling, Query, Zone};
use gateway_ground::failure::Failure;
use store::{ResourceKey, View};

/// Whom the identifiers name.
#[derive(Clone, Debug, PartialEq)]
pub enum Identified {
    One(ResourceKey),
    Nobody,
    /// Several patients, or one whose birth date or sex contradicts the message: a person decides.
    Doubtful(Vec<ResourceKey>),
}

/// More candidates than this are not told apart.
const CANDIDATES_MAX: usize = 10;
/// A merged patient points at the one that replaces it; longer chains are a loop.
const REPLACEMENTS_MAX: usize = 5;

impl Repository {
    /// Identifiers in order of preference: (system, value). A patient found by system and value
    /// must not contradict the message. One found by the value alone (the sender names another
    /// system than the record) must agree with it in birth date and family name.
    pub fn identify_patient(
        &self,
        identifiers: &[(String, String)],
        demographics: &Demographics,
    ) -> Result<Identified, Failure> {
        let snapshot = self.store().snapshot()?;
        let known = Known {
            view: snapshot.view(),
            zone: self.zone(),
        };
        let mut found = Vec::new();
        for (system, value) in identifiers {
            let term = format!("{}|{}", search_value(system), search_value(value));
            known.add_patients(&term, &mut found)?;
        }
        if !found.is_empty() {
            return Ok(judged(&found, |patient| {
                !contradicts(patient, demographics)
            }));
        }
        for (_, value) in identifiers {
            known.add_patients(&search_value(value), &mut found)?;
        }
        Ok(judged(&found, |patient| agrees(patient, demographics)))
    }
}

/// Who is known at one moment: a patient who comes between two searches would look like one of
/// another system.
struct Known<'a> {
    view: View<'a>,
    zone: &'a Zone,
}

impl Known<'_> {
    fn add_patients(&self, identifier: &str, found: &mut Vec<Found>) -> Result<(), Failure> {
        let pairs = [("identifier".to_owned(), identifier.to_owned())];
        let query = Query::parse("Patient", &pairs, Handling::Strict, self.zone);
        let Ok(query) = query else {
            return Ok(()); // no identifier that a search can ask for, so nobody's
        };
        let finder = Finder::new((self.view, self.zone), 1);
        for key in finder.keys(&query, CANDIDATES_MAX)? {
            let Some(patient) = self.opened(&key)? else {
                continue;
            };
            let patient = self.replacement(patient)?;
            if !found.iter().any(|known| known.0 == patient.0) {
                found.push(patient);
            }
        }
        Ok(())
    }

    /// Follows `link` of a merged patient to the one that is in use.
    fn replacement(&self, mut patient: Found) -> Result<Found, Failure> {
        for _ in 0..REPLACEMENTS_MAX {
            let Some(key) = replaced_by(&patient.1) else {
                break;
            };
            match self.opened(&key)? {
                Some(next) => patient = next,
                None => break,
            }
        }
        Ok(patient)
    }

    /// What is in use under this key.
    fn opened(&self, key: &ResourceKey) -> Result<Option<Found>, Failure> {
        let head = self.view.head(key)?.filter(|head| !head.deleted);
        let Some(head) = head else {
            return Ok(None);
        };
        let Some(stored) = self.view.version(head.rid, head.version)? else {
            return Ok(None);
        };
        let tree = parse(&stored.body, Limits::default());
        Ok(Some((stored.key, tree.unwrap_or(Json::Null))))
    }
}

type Found = (ResourceKey, Json);

fn replaced_by(patient: &Json) -> Option<ResourceKey> {
    let mut links = patient.items("link").iter();
    let is_replaced = |l: &&Json| l.get("type").and_then(Json::as_str) == Some("replaced-by");
    let link = links.find(is_replaced)?;
    match Reference::parse(link.get("other")?.get("reference")?.as_str()?) {
        Reference::Literal {
            resource_type: "Patient",
            id,
            ..
        } => Some(ResourceKey {
            resource_type: "Patient".to_owned(),
            id: id.to_owned(),
        }),
        _ => None,
    }
}

fn judged(found: &[Found], fits: impl Fn(&Json) -> bool) -> Identified {
    match found {
        [] => Identified::Nobody,
        [(key, patient)] if fits(patient) => Identified::One(key.clone()),
        several => Identified::Doubtful(several.iter().map(|(key, _)| key.clone()).collect()),
    }
}

/// Birth date or sex differ; or, when neither can be compared, the family name does.
fn contradicts(patient: &Json, sent: &Demographics) -> bool {
    let dates = both(text(patient, "birthDate"), sent.birth_date.as_deref());
    let sexes = both(text(patient, "gender"), sent.gender.as_deref())
        .filter(|(a, b)| is_definite(a) && is_definite(b));
    if dates.is_some_and(|(a, b)| !same_date(a, b)) || sexes.is_some_and(|(a, b)| a != b) {
        return true;
    }
    let is_confirmed = dates.is_some() || sexes.is_some();
    !is_confirmed && family_matches(patient, sent) == Some(false)
}

/// Birth date and family name are there on both sides and equal, and nothing contradicts.
fn agrees(patient: &Json, sent: &Demographics) -> bool {
    let dates = both(text(patient, "birthDate"), sent.birth_date.as_deref());
    dates.is_some_and(|(a, b)| a == b && a.len() == "YYYY-MM-DD".len())
        && family_matches(patient, sent) == Some(true)
        && !contradicts(patient, sent)
}

fn both<'a>(a: Option<&'a str>, b: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    Some((a?, b?))
}

fn text<'a>(patient: &'a Json, key: &str) -> Option<&'a str> {
    patient.get(key)?.as_str()
}

fn is_definite(sex: &str) -> bool {
    matches!(sex, "male" | "female")
}

/// Equal as far as both are precise: `1990` and `1990-08-04` do not contradict.
fn same_date(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// `None` when either side has no family name.
fn family_matches(patient: &Json, sent: &Demographics) -> Option<bool> {
    let sent = folded(sent.family.as_deref()?);
    let names = patient.items("name").iter();
    let mut families = names.filter_map(|name| name.get("family")?.as_str());
    let first = families.next()?;
    Some(folded(first) == sent || families.any(|family| folded(family) == sent))
}

/// Letters only, in lower case: `O'Neil` and `ONEIL` are one.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// A value as a search parameter takes it (R4 3.1.1.3): its delimiters escaped.
pub fn search_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '|' | ',' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Transaction, Write, fresh};
    use gateway_ground::clock::Clock;
    use store::{Origin, OriginKind};

    fn check(patient: &str, sent: (&str, &str, &str), expected: (bool, bool)) {
        let patient = parse(patient.as_bytes(), Limits::default()).unwrap();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let sent = Demographics {
            family: some(sent.0),
            given: None,
            birth_date: some(sent.1),
            gender: some(sent.2),
        };
        let found = (contradicts(&patient, &sent), agrees(&patient, &sent));
        assert_eq!(found, expected, "{sent:?}");
    }

    /// Each patient's system fits, but no family name is known: by the value alone they would be
    /// doubtful.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_patient_who_comes_meanwhile_is_never_doubtful() {
        let (repository, _folder) = fresh::repository(Clock::system(0));
        let sent = Demographics::default();
        for number in 0..60 {
            let writer = repository.clone();
            let written = tokio::spawn(async move { writer.write(registration(number)).await });
            let identifiers = [("urn:clinic".to_owned(), number.to_string())];
            loop {
                match repository.identify_patient(&identifiers, &sent).unwrap() {
                    Identified::One(_) => break,
                    Identified::Nobody => tokio::task::yield_now().await,
                    Identified::Doubtful(found) => panic!("{found:?} is not doubtful"),
                }
            }
            written.await.unwrap().unwrap();
        }
    }

    fn registration(number: u32) -> Transaction {
        let text = format!(
            r#"{{"resourceType":"Patient","id":"p{number}","identifier":[{{"system":"urn:clinic","value":"{number}"}}]}}"#
        );
        Transaction {
            actor: Actor {
                name: "emr".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes: vec![Write::Update {
                id: format!("p{number}"),
                resource: parse(text.as_bytes(), Limits::default()).unwrap(),
                if_match: None,
            }],
            rows: Vec::new(),
            resolve_conditional_references: false,
        }
    }

    #[test]
    fn who_contradicts_and_who_agrees() {
        let known = r#"{"birthDate":"1990-08-04","gender":"female","name":[{"family":"O'Neil"}]}"#;
        check(known, ("ONEIL", "1990-08-04", "female"), (false, true));
        check(known, ("Other", "1990-08-04", "female"), (false, false));
        check(known, ("ONEIL", "1990", ""), (false, false));
        check(known, ("ONEIL", "1990-08-05", "female"), (true, false));
        check(known, ("ONEIL", "1990-08-04", "male"), (true, false));
        check(known, ("ONEIL", "", "unknown"), (false, false));
        check(known, ("Other", "", ""), (true, false));
        check(known, ("", "", ""), (false, false));
        check("{}", ("Other", "1990-08-04", "male"), (false, false));
    }
}
