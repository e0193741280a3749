//! Translation between code systems. <https://hl7.org/fhir/R4/conceptmap.html>

use crate::model::Json;

#[derive(Clone, Debug, Default)]
pub struct ConceptMap {
    pub url: String,
    pub version: Option<String>,
    /// Canonical URLs of the value sets at both ends.
    pub source: Option<String>,
    pub target: Option<String>,
    pub groups: Vec<Group>,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub source: Option<String>,
    pub target: Option<String>,
    pub pairs: Vec<Pair>,
    pub unmapped: Option<Unmapped>,
}

/// One line of a map. `target` is absent when the map says that there is none.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    pub source: String,
    pub target: Option<String>,
    pub display: Option<String>,
    pub equivalence: String,
}

/// What becomes of codes that no line names.
#[derive(Clone, Debug)]
pub enum Unmapped {
    /// The same code in the target system.
    Provided,
    Fixed(String, Option<String>),
    OtherMap(String),
}

/// One answer of a translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub equivalence: String,
    pub system: Option<String>,
    pub code: Option<String>,
    pub display: Option<String>,
    /// URL of the map that says so.
    pub map: String,
}

/// What is to be translated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    pub system: Option<&'a str>,
    pub code: &'a str,
    pub target_system: Option<&'a str>,
    /// From target to source.
    pub is_reverse: bool,
}

impl ConceptMap {
    /// Reads a ConceptMap resource.
    pub fn of(resource: &Json) -> ConceptMap {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).map(str::to_owned);
        ConceptMap {
            url: text("url").unwrap_or_default(),
            version: text("version"),
            source: text("sourceCanonical").or_else(|| text("sourceUri")),
            target: text("targetCanonical").or_else(|| text("targetUri")),
            groups: resource.items("group").iter().map(group).collect(),
        }
    }

    /// All answers of this map, and the other maps that it refers the code to.
    pub fn translate(&self, asked: &Question) -> (Vec<Mapping>, Vec<String>) {
        let (mut found, mut elsewhere) = (Vec::new(), Vec::new());
        for group in &self.groups {
            let (from, to) = match asked.is_reverse {
                false => (&group.source, &group.target),
                true => (&group.target, &group.source),
            };
            let fits = |wanted: Option<&str>, given: &Option<String>| {
                wanted.is_none_or(|wanted| given.as_deref().is_none_or(|given| given == wanted))
            };
            if !fits(asked.system, from) || !fits(asked.target_system, to) {
                continue;
            }
            let before = found.len();
            let pairs = group.pairs.iter();
            found.extend(pairs.filter_map(|pair| self.answer(pair, to, asked)));
            if found.len() == before && !asked.is_reverse {
                self.unmapped(group, asked, (&mut found, &mut elsewhere));
            }
        }
        (found, elsewhere)
    }

    fn answer(&self, pair: &Pair, to: &Option<String>, asked: &Question) -> Option<Mapping> {
        let (code, display) = match asked.is_reverse {
            false if pair.source == asked.code => (pair.target.clone(), pair.display.clone()),
            true if pair.target.as_deref() == Some(asked.code) => (Some(pair.source.clone()), None),
            _ => return None,
        };
        Some(Mapping {
            equivalence: match asked.is_reverse {
                false => pair.equivalence.clone(),
                true => reversed(&pair.equivalence).to_owned(),
            },
            system: to.clone().filter(|_| code.is_some()),
            code,
            display,
            map: self.url.clone(),
        })
    }

    fn unmapped(
        &self,
        group: &Group,
        asked: &Question,
        (found, elsewhere): (&mut Vec<Mapping>, &mut Vec<String>),
    ) {
        let (code, display, equivalence) = match &group.unmapped {
            None => return,
            Some(Unmapped::OtherMap(url)) => return elsewhere.push(url.clone()),
            Some(Unmapped::Provided) => (asked.code.to_owned(), None, "equal"),
            Some(Unmapped::Fixed(code, display)) => (code.clone(), display.clone(), "inexact"),
        };
        found.push(Mapping {
            equivalence: equivalence.to_owned(),
            system: group.target.clone(),
            code: Some(code),
            display,
            map: self.url.clone(),
        });
    }
}

/// The relation seen from the other end.
fn reversed(equivalence: &str) -> &str {
    match equivalence {
        "wider" => "narrower",
        "narrower" => "wider",
        "subsumes" => "specializes",
        "specializes" => "subsumes",
        other => other,
    }
}

fn group(group: &Json) -> Group {
    let text = |name: &str| group.get(name).and_then(Json::as_str).map(str::to_owned);
    Group {
        source: text("source"),
        target: text("target"),
        pairs: group.items("element").iter().flat_map(pairs).collect(),
        unmapped: group.get("unmapped").and_then(unmapped),
    }
}

fn pairs(element: &Json) -> Vec<Pair> {
    let source = element.str_at(&["code"]).unwrap_or_default();
    let targets = element.items("target").iter();
    let pairs = targets.map(|target| {
        let text = |name: &str| target.get(name).and_then(Json::as_str).map(str::to_owned);
        Pair {
            source: source.to_owned(),
            target: text("code"),
            display: text("display"),
            equivalence: text("equivalence").unwrap_or_else(|| "relatedto".to_owned()),
        }
    });
    pairs.collect()
}

fn unmapped(unmapped: &Json) -> Option<Unmapped> {
    let text = |name: &str| unmapped.get(name).and_then(Json::as_str).map(str::to_owned);
    match text("mode")?.as_str() {
        "provided" => Some(Unmapped::Provided),
        "fixed" => Some(Unmapped::Fixed(text("code")?, text("display"))),
        "other-map" => Some(Unmapped::OtherMap(text("url")?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, parse};

    const MAP: &str = r#"{"resourceType":"ConceptMap","url":"urn:map","group":[
        {"source":"urn:a","target":"urn:b","element":[
            {"code":"1","target":[{"code":"one","equivalence":"equal"},{"code":"uno","equivalence":"wider"}]},
            {"code":"2","target":[{"equivalence":"unmatched"}]}],
         "unmapped":{"mode":"fixed","code":"unknown"}},
        {"source":"urn:a","target":"urn:c","element":[],"unmapped":{"mode":"other-map","url":"urn:map2"}}]}"#;

    #[track_caller]
    fn check(asked: Question, expected: &str) {
        let map = ConceptMap::of(&parse(MAP.as_bytes(), Limits::default()).unwrap());
        let (found, elsewhere) = map.translate(&asked);
        let found = found.iter().map(|one| {
            let code = one.code.as_deref().unwrap_or("-");
            format!(
                "{} {}|{code}",
                one.equivalence,
                one.system.as_deref().unwrap_or("-")
            )
        });
        let all: Vec<String> = found.chain(elsewhere).collect();
        assert_eq!(all.join("; "), expected, "{asked:?}");
    }

    #[test]
    fn codes_are_translated() {
        let ask = |system, code, target_system| Question {
            system: Some(system),
            code,
            target_system: Some(target_system),
            is_reverse: false,
        };
        check(
            ask("urn:a", "1", "urn:b"),
            "equal urn:b|one; wider urn:b|uno",
        );
        check(ask("urn:a", "2", "urn:b"), "unmatched -|-");
        check(ask("urn:a", "3", "urn:b"), "inexact urn:b|unknown");
        check(ask("urn:a", "3", "urn:c"), "urn:map2");
        check(ask("urn:x", "1", "urn:b"), "");
        let back = Question {
            is_reverse: true,
            ..ask("urn:b", "uno", "urn:a")
        };
        check(back, "narrower urn:a|1");
    }
}
