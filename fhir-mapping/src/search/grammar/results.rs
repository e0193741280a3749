//! Result parameters: what comes back and in which order (R4 3.1.1.5).

use super::names::reference_of;
use crate::model::{Issue, IssueCode};
use crate::search::definitions::{TypeDefinitions, is_resource_type};
use crate::search::sort::{self, SortBy};
use crate::search::{Include, Zone};

/// `_summary` (R4 3.1.1.5.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    #[default]
    False,
    True,
    Text,
    Data,
    Count,
}

/// `_total` (R4 3.1.1.5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// Not asked: the server is free.
    #[default]
    Unasked,
    None,
    Estimate,
    Accurate,
}

/// More keys of `_sort` than this are refused: they travel in page links.
const SORT_KEYS_MAX: usize = 8;
const ELEMENTS_MAX: usize = 256;

impl Summary {
    pub(in crate::search) fn parse(text: &str) -> Result<Summary, Issue> {
        Ok(match text {
            "false" => Summary::False,
            "true" => Summary::True,
            "text" => Summary::Text,
            "data" => Summary::Data,
            "count" => Summary::Count,
            _ => return Err(bad("_summary: true, text, data, count or false")),
        })
    }
}

impl Total {
    pub(in crate::search) fn parse(text: &str) -> Result<Total, Issue> {
        Ok(match text {
            "none" => Total::None,
            "estimate" => Total::Estimate,
            "accurate" => Total::Accurate,
            _ => return Err(bad("_total: none, estimate or accurate")),
        })
    }
}

pub(in crate::search) fn number(name: &str, text: &str) -> Result<usize, Issue> {
    let number = text.parse();
    number.map_err(|_e: std::num::ParseIntError| bad(&format!("{name}: not a number")))
}

/// The keys of `_sort`; `None` when one of them is unknown.
pub(in crate::search) fn sort(
    definitions: &'static TypeDefinitions,
    text: &str,
) -> Result<Option<Vec<SortBy>>, Issue> {
    let names: Vec<&str> = text.split(',').filter(|key| !key.is_empty()).collect();
    if names.len() > SORT_KEYS_MAX {
        return Err(bad(&format!("_sort: more than {SORT_KEYS_MAX} keys")));
    }
    let key = |key: &str| {
        let name = key.strip_prefix('-').unwrap_or(key);
        let (index, parameter) = definitions.find(name)?;
        sort::is_sortable(parameter).then_some(SortBy {
            index,
            descending: key.starts_with('-'),
        })
    };
    Ok(names.into_iter().map(key).collect())
}

/// Names of `_elements`; `Type.name` is understood.
pub(in crate::search) fn elements(text: &str) -> Result<Vec<String>, Issue> {
    let name = |name: &str| name.rsplit('.').next().unwrap_or(name).trim().to_owned();
    let names: Vec<String> = text
        .split(',')
        .map(name)
        .filter(|n| !n.is_empty())
        .collect();
    if names.len() > ELEMENTS_MAX {
        return Err(bad(&format!("_elements: more than {ELEMENTS_MAX} names")));
    }
    Ok(names)
}

/// `Type:parameter[:TargetType]`, `Type:*` or `*`; `None` when it names what is not there.
pub(in crate::search) fn include(text: &str, modifier: &str, zone: &Zone) -> Option<Include> {
    let iterate = match modifier {
        "" => false,
        "iterate" | "recurse" => true,
        _ => return None,
    };
    let mut parts = text.split(':');
    let source = parts.next().unwrap_or_default();
    let parameter = match (source, parts.next()) {
        ("*", None) => "*",
        (_, Some(parameter)) => parameter,
        (_, None) => return None,
    };
    let (target, rest) = (parts.next().filter(|t| !t.is_empty()), parts.next());
    let is_known = match (source, parameter) {
        ("*", "*") => true,
        (_, "*") => is_resource_type(source),
        _ => reference_of(zone, (source, parameter)).is_some(),
    };
    (is_known && rest.is_none() && target.is_none_or(is_resource_type)).then(|| Include {
        source_type: source.to_owned(),
        parameter: parameter.to_owned(),
        target_type: target.map(str::to_owned),
        iterate,
    })
}

pub(in crate::search) fn bad(text: &str) -> Issue {
    Issue::error("E-SEARCH-7", IssueCode::Value, "", text)
}
