//! From the name-value pairs of a request to a checked query (R4 3.1.1).

use super::criterion::{Asked, Criterion};
use super::definitions::{self, Kind, TypeDefinitions};
use super::sort::{self, SortBy};
use super::{Handling, Include, Zone};
use crate::model::{Issue, IssueCode};

/// A search request for one resource type, parsed and checked.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) resource_type: String,
    pub(super) definitions: &'static TypeDefinitions,
    pub(super) criteria: Vec<Criterion>,
    pub(super) sort: Vec<SortBy>,
    pub(super) includes: Vec<Include>,
    pub(super) count: Option<usize>,
    pub(super) count_only: bool,
    pub(super) wants_total: bool,
    /// The pairs that were understood, in their order.
    pub(super) used: Vec<(String, String)>,
}

/// More criteria than any honest form has.
const CRITERIA_MAX: usize = 64;

pub(super) struct Parser<'a> {
    query: Query,
    handling: Handling,
    zone: &'a Zone,
    issues: Vec<Issue>,
}

/// What became of a pair.
enum Taken {
    Used,
    /// Understood to be unsupported: an error under strict.
    Unsupported,
}

impl<'a> Parser<'a> {
    /// `None` for a type without definitions, which no R4 type is.
    pub(super) fn new(resource_type: &str, handling: Handling, zone: &'a Zone) -> Option<Self> {
        let query = Query {
            resource_type: resource_type.to_owned(),
            definitions: definitions::of_type(resource_type)?,
            criteria: Vec::new(),
            sort: Vec::new(),
            includes: Vec::new(),
            count: None,
            count_only: false,
            wants_total: false,
            used: Vec::new(),
        };
        Some(Parser {
            query,
            handling,
            zone,
            issues: Vec::new(),
        })
    }

    pub(super) fn parse(mut self, pairs: &[(String, String)]) -> Result<Query, Vec<Issue>> {
        for (name, value) in pairs {
            if name.is_empty() || value.is_empty() {
                continue;
            }
            match self.pair(name, value) {
                Ok(Taken::Used) => self.query.used.push((name.clone(), value.clone())),
                Ok(Taken::Unsupported) if self.handling == Handling::Lenient => {}
                Ok(Taken::Unsupported) => self.issues.push(unsupported(name)),
                Err(issue) => self.issues.push(issue),
            }
        }
        if self.query.criteria.len() > CRITERIA_MAX {
            let text = format!("more than {CRITERIA_MAX} criteria");
            let issue = Issue::error("E-SEARCH-4", IssueCode::TooCostly, "", text);
            self.issues.push(issue);
        }
        if self.issues.is_empty() {
            Ok(self.query)
        } else {
            Err(self.issues)
        }
    }

    fn pair(&mut self, name: &str, value: &str) -> Result<Taken, Issue> {
        match name {
            "_format" | "_pretty" => Ok(Taken::Used),
            "_count" => self.count(value),
            "_sort" => self.sort(value),
            "_total" => {
                self.query.wants_total = match value {
                    "none" => false,
                    "estimate" | "accurate" => true,
                    _ => return Err(bad_result_parameter("_total: none, estimate or accurate")),
                };
                Ok(Taken::Used)
            }
            "_summary" => match value {
                "count" => {
                    self.query.count_only = true;
                    Ok(Taken::Used)
                }
                "false" => Ok(Taken::Used),
                _ => Ok(Taken::Unsupported),
            },
            "_include" => self.include(value),
            _ => self.criterion(name, value),
        }
    }

    fn count(&mut self, value: &str) -> Result<Taken, Issue> {
        let count = value
            .parse()
            .map_err(|_e: std::num::ParseIntError| bad_result_parameter("_count: not a number"))?;
        self.query.count = Some(count);
        self.query.count_only |= count == 0;
        Ok(Taken::Used)
    }

    fn sort(&mut self, value: &str) -> Result<Taken, Issue> {
        let definitions = self.query.definitions;
        let mut keys = Vec::new();
        for key in value.split(',') {
            let name = key.strip_prefix('-').unwrap_or(key);
            match definitions.find(name) {
                Some((index, parameter)) if sort::is_sortable(parameter) => keys.push(SortBy {
                    index,
                    descending: key.starts_with('-'),
                }),
                _ => return Ok(Taken::Unsupported),
            }
        }
        self.query.sort = keys;
        Ok(Taken::Used)
    }

    fn include(&mut self, value: &str) -> Result<Taken, Issue> {
        let mut parts = value.split(':');
        let (source, parameter) = (parts.next().unwrap_or_default(), parts.next());
        let (target, rest) = (parts.next().filter(|t| !t.is_empty()), parts.next());
        let (Some(parameter), None) = (parameter, rest) else {
            return Ok(Taken::Unsupported);
        };
        let known = definitions::is_resource_type(source)
            && definitions::of_type(source)
                .and_then(|d| d.find(parameter))
                .is_some_and(|(_, p)| p.kind == Kind::Reference)
            && target.is_none_or(definitions::is_resource_type);
        if !known {
            return Ok(Taken::Unsupported);
        }
        self.query.includes.push(Include {
            source_type: source.to_owned(),
            parameter: parameter.to_owned(),
            target_type: target.map(str::to_owned),
        });
        Ok(Taken::Used)
    }

    fn criterion(&mut self, name: &str, value: &str) -> Result<Taken, Issue> {
        let (code, modifier) = name.split_once(':').unwrap_or((name, ""));
        if name.contains('.') || code == "_has" {
            // Never left out silently: it would widen the answer to other patients.
            let text = "chained search and _has are not supported";
            return Err(Issue::error(
                "E-SEARCH-5",
                IssueCode::NotSupported,
                "",
                text,
            ));
        }
        match self.query.definitions.find(code) {
            Some((index, parameter)) if parameter.kind != Kind::Unsupported => {
                let asked = Asked {
                    parameter,
                    index,
                    modifier,
                    value,
                };
                let criterion = Criterion::parse(&asked, self.zone)?;
                self.query.criteria.push(criterion);
                Ok(Taken::Used)
            }
            _ => Ok(Taken::Unsupported),
        }
    }
}

/// Names the parameter: a name is no patient's value, but it is cut in case one was put there.
fn unsupported(name: &str) -> Issue {
    let shown: String = name.chars().take(64).collect();
    let text = format!("{shown}: this search parameter is unknown or not supported here");
    Issue::error("E-SEARCH-6", IssueCode::NotSupported, "", text)
}

fn bad_result_parameter(text: &str) -> Issue {
    Issue::error("E-SEARCH-7", IssueCode::Value, "", text)
}

impl Query {
    /// Makes absolute references below `base` (this server's own address, without slash at its end)
    /// local, so that `subject=http://this/fhir/Patient/1` finds what `subject=Patient/1` finds.
    pub fn localize(&mut self, base: &str) {
        self.criteria.iter_mut().for_each(|c| c.localize(base));
    }
}

/// A query string; what need not be escaped is left readable.
pub fn encode_pairs(pairs: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        escape(name, &mut out);
        out.push('=');
        escape(value, &mut out);
    }
    out
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b':' | b',' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
