//! From the name-value pairs of a request to a checked query (R4 3.1.1).

use super::asking::Asking;
use super::condition::Condition;
use super::criterion::Criterion;
use super::definitions::{self, TypeDefinitions};
use super::grammar::names::Reader;
use super::grammar::results::{self, Summary, Total};
use super::sort::SortBy;
use super::{Handling, Include};
use crate::model::{Issue, IssueCode};

/// A search request for one resource type, parsed and checked.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) resource_type: String,
    pub(super) definitions: &'static TypeDefinitions,
    pub(super) conditions: Vec<Condition>,
    pub(super) sort: Vec<SortBy>,
    pub(super) includes: Vec<Include>,
    pub(super) rev_includes: Vec<Include>,
    pub(super) count: Option<usize>,
    pub(super) offset: Option<usize>,
    pub(super) total: Total,
    pub(super) summary: Summary,
    pub(super) elements: Vec<String>,
    /// The pairs that were understood, in their order.
    pub(super) used: Vec<(String, String)>,
}

/// More criteria than any honest form has.
const CRITERIA_MAX: usize = 64;
const INCLUDES_MAX: usize = 64;

pub(super) struct Parser<'a> {
    query: Query,
    asking: &'a Asking<'a>,
    reader: Reader<'a>,
    /// Names the system search understands elsewhere.
    ignored: &'a [&'a str],
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
    pub(super) fn new(resource_type: &str, asking: &'a Asking<'a>) -> Option<Self> {
        let query = Query {
            resource_type: resource_type.to_owned(),
            definitions: asking.zone.of_type(resource_type)?,
            conditions: Vec::new(),
            sort: Vec::new(),
            includes: Vec::new(),
            rev_includes: Vec::new(),
            count: None,
            offset: None,
            total: Total::Unasked,
            summary: Summary::False,
            elements: Vec::new(),
            used: Vec::new(),
        };
        Some(Parser {
            query,
            asking,
            reader: Reader::new(asking),
            ignored: &[],
            issues: Vec::new(),
        })
    }

    /// These names are left in the self link and not read.
    pub(super) fn ignoring(self, ignored: &'a [&'a str]) -> Self {
        Parser { ignored, ..self }
    }

    pub(super) fn parse(mut self, pairs: &[(String, String)]) -> Result<Query, Vec<Issue>> {
        for (name, value) in pairs {
            if name.is_empty() || value.is_empty() {
                continue;
            }
            match self.pair(name, value) {
                Ok(Taken::Used) => self.query.used.push((name.clone(), value.clone())),
                Ok(Taken::Unsupported) if self.asking.handling == Handling::Lenient => {}
                Ok(Taken::Unsupported) => self.issues.push(unsupported(name)),
                Err(issue) => self.issues.push(issue),
            }
        }
        if self.query.conditions.len() > CRITERIA_MAX {
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
        let (code, modifier) = name.split_once(':').unwrap_or((name, ""));
        match code {
            "_format" | "_pretty" => return Ok(Taken::Used),
            _ if self.ignored.contains(&name) => return Ok(Taken::Used),
            "_include" | "_revinclude" => return self.include(code, modifier, value),
            _ => {}
        }
        if modifier.is_empty()
            && let Some(taken) = self.result_parameter(code, value)?
        {
            return Ok(taken);
        }
        self.criterion(name, value)
    }

    /// `None` for a name that is no result parameter.
    fn result_parameter(&mut self, name: &str, value: &str) -> Result<Option<Taken>, Issue> {
        let query = &mut self.query;
        match name {
            "_count" => query.count = Some(results::number(name, value)?),
            "_sort" => match results::sort(query.definitions, value)? {
                Some(keys) => query.sort = keys,
                None => return Ok(Some(Taken::Unsupported)),
            },
            "_total" => query.total = Total::parse(value)?,
            "_summary" => {
                let summary = Summary::parse(value)?;
                let is_simple = matches!(summary, Summary::Count | Summary::False);
                if !is_simple && !self.asking.is_whole {
                    return Ok(Some(Taken::Unsupported));
                }
                query.summary = summary;
            }
            "_elements" if self.asking.is_whole => query.elements = results::elements(value)?,
            "_getpagesoffset" if self.asking.is_whole => {
                query.offset = Some(results::number(name, value)?);
            }
            "_contained" if value == "false" => {}
            _ => return Ok(None),
        }
        Ok(Some(Taken::Used))
    }

    fn include(&mut self, code: &str, modifier: &str, value: &str) -> Result<Taken, Issue> {
        let Some(include) = results::include(value, modifier, self.asking.zone) else {
            return Ok(Taken::Unsupported);
        };
        let is_reverse = code == "_revinclude";
        let is_simple = !is_reverse && !include.iterate && include.parameter != "*";
        if !is_simple && !self.asking.is_whole {
            return Ok(Taken::Unsupported);
        }
        let query = &mut self.query;
        if query.includes.len() + query.rev_includes.len() == INCLUDES_MAX {
            return Err(results::bad("_include: too many of them"));
        }
        if is_reverse {
            query.rev_includes.push(include);
        } else {
            query.includes.push(include);
        }
        Ok(Taken::Used)
    }

    fn criterion(&mut self, name: &str, value: &str) -> Result<Taken, Issue> {
        let read = self
            .reader
            .condition(&self.query.resource_type, name, value);
        Ok(match read? {
            Some(condition) => {
                self.query.conditions.push(condition);
                Taken::Used
            }
            None => Taken::Unsupported,
        })
    }
}

/// Names the parameter: a name is no patient's value, but it is cut in case one was put there.
fn unsupported(name: &str) -> Issue {
    let shown: String = name.chars().take(64).collect();
    let text = format!("{shown}: this search parameter is unknown or not supported here");
    Issue::error("E-SEARCH-6", IssueCode::NotSupported, "", text)
}

impl Query {
    /// Makes absolute references below `base` (this server's own address, without slash at its end)
    /// local, so that `subject=http://this/fhir/Patient/1` finds what `subject=Patient/1` finds.
    pub fn localize(&mut self, base: &str) {
        self.conditions.iter_mut().for_each(|c| c.localize(base));
    }
}

/// One query for each type of a system search.
pub(super) fn parse_system(
    pairs: &[(String, String)],
    asking: &Asking,
) -> Result<Vec<Query>, Vec<Issue>> {
    let asked = pairs.iter().filter(|(name, _)| name == "_type");
    let mut types: Vec<&str> = asked
        .flat_map(|(_, value)| value.split(','))
        .filter(|name| !name.is_empty())
        .collect();
    if types.is_empty() {
        types = definitions::resource_types().collect();
    }
    types.sort_unstable();
    types.dedup();
    if !types.iter().all(|name| definitions::is_resource_type(name)) {
        return Err(vec![results::bad("_type: not a resource type of R4")]);
    }
    let one = |name: &str| match Parser::new(name, asking) {
        Some(parser) => parser.ignoring(&["_type"]).parse(pairs),
        None => Err(vec![unsupported("_type")]),
    };
    types.into_iter().map(one).collect()
}

/// Refers to the target with any of these parameters.
pub(super) fn refers(
    resource_type: &str,
    parameters: &[&str],
    (target_type, id): (&str, &str),
) -> Condition {
    let found = parameters
        .iter()
        .filter_map(|name| definitions::of_type(resource_type)?.find(name));
    let criteria = found.map(|(index, parameter)| {
        let target = format!("{target_type}/{id}");
        Condition::Own(Criterion::refers(parameter, index, target))
    });
    Condition::Any(criteria.collect())
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
