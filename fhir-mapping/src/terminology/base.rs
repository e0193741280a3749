//! R4's own terminology, from the table that `definitions/generate_terminology.py` makes: what its
//! elements are bound to.

use super::code_system::Concept;
use super::concept_map::{Group, Pair};
use super::filter::Filter;
use super::library::split_canonical;
use super::value_set::{Listed, Rule};
use super::{CodeSystem, ConceptMap, Library, ValueSet};
use crate::model::Issue;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

/// The library of R4's own definitions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base;

static TABLE: &str = include_str!("../../definitions/terminology.txt");
static ALL: LazyLock<Sections> = LazyLock::new(read_table);

/// The version of everything whose URL is HL7's own.
const VERSION: &str = "4.0.1";

/// One definition: its lines, and what was made of them when first asked for.
struct Section<T> {
    head: Vec<&'static str>,
    lines: Vec<&'static str>,
    made: OnceLock<Arc<T>>,
}

#[derive(Default)]
struct Sections {
    systems: HashMap<&'static str, Section<CodeSystem>>,
    sets: HashMap<&'static str, Section<ValueSet>>,
    maps: HashMap<&'static str, Section<ConceptMap>>,
}

impl Base {
    /// URL and version of every code system.
    pub fn code_systems() -> impl Iterator<Item = (String, Option<String>)> {
        let sections = ALL.systems.values();
        sections.map(|section| (section.url(), section.version()))
    }
}

impl Library for Base {
    fn code_system(&self, canonical: &str) -> Result<Option<Arc<CodeSystem>>, Issue> {
        Ok(find(&ALL.systems, canonical, code_system))
    }

    fn value_set(&self, canonical: &str) -> Result<Option<Arc<ValueSet>>, Issue> {
        Ok(find(&ALL.sets, canonical, value_set))
    }

    fn concept_map(&self, canonical: &str) -> Result<Option<Arc<ConceptMap>>, Issue> {
        Ok(find(&ALL.maps, canonical, concept_map))
    }

    fn concept_maps_from(&self, system: &str) -> Result<Vec<Arc<ConceptMap>>, Issue> {
        let mut urls: Vec<&str> = ALL.maps.keys().copied().collect();
        urls.sort_unstable();
        let maps = urls
            .iter()
            .filter_map(|url| find(&ALL.maps, url, concept_map));
        let is_from = |map: &Arc<ConceptMap>| {
            let mut groups = map.groups.iter();
            groups.any(|group| group.source.as_deref() == Some(system))
        };
        Ok(maps.filter(is_from).collect())
    }
}

/// By its URL, or by URL and version.
fn find<T>(
    sections: &HashMap<&'static str, Section<T>>,
    canonical: &str,
    make: fn(&Section<T>) -> T,
) -> Option<Arc<T>> {
    let section = sections.get(canonical).or_else(|| {
        let (url, version) = split_canonical(canonical);
        let is_ours = |url: &str| url.starts_with("http://hl7.org/fhir/");
        let fits = version.is_none_or(|version| version == VERSION || !is_ours(url));
        sections.get(url).filter(|_| fits)
    })?;
    let made = section.made.get_or_init(|| Arc::new(make(section)));
    Some(Arc::clone(made))
}

fn read_table() -> Sections {
    let mut all = Sections::default();
    let mut lines = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .peekable();
    while let Some(head) = lines.next() {
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| !is_head(line)) {
            body.push(line);
        }
        let head: Vec<&str> = head.split('\t').collect();
        let url = head.get(1).copied().unwrap_or_default();
        match head.first().copied() {
            Some("S") => drop(all.systems.insert(url, section(head, body))),
            Some("V") => drop(all.sets.insert(url, section(head, body))),
            _ => drop(all.maps.insert(url, section(head, body))),
        }
    }
    all
}

fn section<T>(head: Vec<&'static str>, lines: Vec<&'static str>) -> Section<T> {
    Section {
        head,
        lines,
        made: OnceLock::new(),
    }
}

fn is_head(line: &str) -> bool {
    ["S\t", "V\t", "M\t"]
        .iter()
        .any(|mark| line.starts_with(mark))
}

impl<T> Section<T> {
    fn text(&self, at: usize) -> Option<String> {
        let text = self.head.get(at).filter(|text| !text.is_empty());
        text.map(|text| (*text).to_owned())
    }

    fn url(&self) -> String {
        self.text(1).unwrap_or_default()
    }

    fn version(&self) -> Option<String> {
        let is_ours = self.url().starts_with("http://hl7.org/fhir/");
        is_ours.then(|| VERSION.to_owned())
    }
}

fn code_system(section: &Section<CodeSystem>) -> CodeSystem {
    let mut system = CodeSystem {
        url: section.url(),
        version: section.version(),
        name: section.text(2),
        is_whole: true,
        is_case_sensitive: true,
        ..CodeSystem::default()
    };
    // The last concept of each level that is open.
    let mut open: Vec<usize> = Vec::new();
    for line in &section.lines {
        let text = line.trim_start_matches(' ');
        let level = line.len() - text.len();
        let (code, display) = text.split_once('\t').unwrap_or((text, ""));
        open.truncate(level.saturating_sub(1));
        let concept = Concept {
            code: code.to_owned(),
            display: (!display.is_empty()).then(|| display.to_owned()),
            ..Concept::default()
        };
        let place = system.add(concept, open.last().copied());
        open.push(place);
    }
    system
}

fn value_set(section: &Section<ValueSet>) -> ValueSet {
    let mut set = ValueSet {
        url: section.url(),
        version: section.version(),
        name: section.text(2),
        ..ValueSet::default()
    };
    for line in &section.lines {
        let (rules, line) = match line.strip_prefix('-') {
            Some(line) => (&mut set.excludes, line),
            None => (&mut set.includes, *line),
        };
        rules.push(rule(line));
    }
    set
}

fn rule(line: &str) -> Rule {
    let mut columns = line.split('\t');
    let mark = columns.next();
    let first = columns.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = columns.collect();
    if mark == Some("^") {
        return Rule {
            value_sets: vec![first],
            ..Rule::default()
        };
    }
    let listed = rest.iter().map(|code| Listed {
        code: (*code).to_owned(),
        ..Listed::default()
    });
    let filters = rest.chunks_exact(3).filter_map(|columns| match columns {
        [property, op, value] => Some(Filter {
            property: (*property).to_owned(),
            op: (*op).to_owned(),
            value: (*value).to_owned(),
        }),
        _ => None,
    });
    Rule {
        system: Some(first),
        concepts: match mark {
            Some("+") => listed.collect(),
            _ => Vec::new(),
        },
        filters: match mark {
            Some("?") => filters.collect(),
            _ => Vec::new(),
        },
        ..Rule::default()
    }
}

fn concept_map(section: &Section<ConceptMap>) -> ConceptMap {
    let mut map = ConceptMap {
        url: section.url(),
        version: section.version(),
        source: section.text(3),
        target: section.text(4),
        groups: Vec::new(),
    };
    for line in &section.lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let text = |at: usize| {
            let text = columns.get(at).map(|text| text.trim_start());
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        if columns.first() == Some(&"G") {
            map.groups.push(Group {
                source: text(1),
                target: text(2),
                ..Group::default()
            });
        } else if let Some(group) = map.groups.last_mut() {
            group.pairs.push(Pair {
                source: text(0).unwrap_or_default(),
                target: text(1),
                display: None,
                equivalence: text(2).unwrap_or_default(),
            });
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_table_is_made() {
        let counts = (ALL.systems.len(), ALL.sets.len(), ALL.maps.len());
        assert_eq!(counts, (445, 577, 17));
        let concepts: usize = ALL
            .systems
            .keys()
            .map(|url| Base.code_system(url).unwrap().unwrap().concepts.len())
            .sum();
        let lines: usize = ALL
            .systems
            .values()
            .map(|section| section.lines.len())
            .sum();
        assert_eq!(concepts, lines);
        for url in ALL.sets.keys() {
            Base.value_set(url).unwrap().unwrap();
        }
    }

    #[test]
    fn hierarchies_and_versions() {
        let system = Base.code_system("http://terminology.hl7.org/CodeSystem/v3-NullFlavor");
        let system = system.unwrap().unwrap();
        let found = system.subsumption("NI", "NASK");
        assert_eq!(found, Some(super::super::Subsumption::Subsumes));
        let set = |canonical| Base.value_set(canonical).unwrap().is_some();
        assert!(set(
            "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"
        ));
        assert!(!set(
            "http://hl7.org/fhir/ValueSet/administrative-gender|3.0.0"
        ));
    }
}
