//! Search values of one resource, and their extraction under the official expressions.

use super::Zone;
use super::definitions::{ComponentPath, Kind, Parameter, TypeDefinitions};
use super::kinds::calendar::Span;
use super::kinds::place::{self, Place};
use super::kinds::quantity::{self, Amount};
use super::kinds::reference::{self, Link};
use super::kinds::token::{self, Token};
use super::kinds::{date, string};
use crate::model::Json;

/// Everything a search may ask of one resource: per parameter its typed values. Encodes compactly;
/// terms are derived from it alone, so an update can compare old and new without the old body.
#[derive(Clone, Debug)]
pub struct SearchValues {
    pub(super) resource_type: String,
    pub(super) id: String,
    pub(super) definitions: Option<&'static TypeDefinitions>,
    /// Fingerprint of the zone that dates were read in.
    pub(super) zone: u32,
    /// Number of the parameter in the definitions, and its values; sorted by index, none empty.
    pub(super) found: Vec<(u16, Vec<Value>)>,
}

/// One value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Token(Token),
    Text(String),
    Reference(Link),
    Date(Span),
    Uri(String),
    Amount(Amount),
    Place(Place),
    /// For each component of one context its values; none of the lists is empty.
    Composite(Vec<Vec<Value>>),
}

impl PartialEq for SearchValues {
    fn eq(&self, other: &SearchValues) -> bool {
        self.resource_type == other.resource_type
            && self.id == other.id
            && self.found == other.found
    }
}

impl SearchValues {
    pub(super) fn extract(resource: &Json, zone: &Zone) -> SearchValues {
        let resource_type = resource.resource_type().unwrap_or_default();
        let definitions = zone.of_type(resource_type);
        let parameters = definitions.into_iter().flat_map(|d| d.all());
        let mut found: Vec<(u16, Vec<Value>)> = parameters
            .map(|(index, parameter)| (index, values_of(parameter, resource, zone)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        found.sort_by_key(|(index, _)| *index);
        SearchValues {
            resource_type: resource_type.to_owned(),
            id: resource.id().unwrap_or_default().to_owned(),
            definitions,
            zone: zone.fingerprint(),
            found,
        }
    }

    /// Type and id of the resource.
    pub fn key(&self) -> (&str, &str) {
        (&self.resource_type, &self.id)
    }

    pub(super) fn resource_type(&self) -> &str {
        &self.resource_type
    }

    pub(super) fn of_index(&self, index: u16) -> &[Value] {
        match self.found.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => self.found.get(at).map_or(&[], |(_, values)| values),
            Err(_) => &[],
        }
    }

    /// Makes this the only value of a parameter.
    pub(super) fn replace(&mut self, parameter: &str, value: Value) {
        let Some((index, _)) = self.definitions.and_then(|d| d.find(parameter)) else {
            return;
        };
        match self.found.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => {
                if let Some((_, values)) = self.found.get_mut(at) {
                    *values = vec![value];
                }
            }
            Err(at) => self.found.insert(at, (index, vec![value])),
        }
    }

    /// The parameters that have values.
    pub(super) fn by_parameter(&self) -> impl Iterator<Item = (&'static Parameter, &[Value])> {
        self.found.iter().filter_map(|(index, values)| {
            let parameter = self.definitions?.parameter(*index)?;
            Some((parameter, &**values))
        })
    }

    /// Literal targets (`Type`, `id`) of a reference parameter, for `_include` and chains. `*` is
    /// every reference parameter.
    pub fn references(&self, parameter: &str) -> Vec<(String, String)> {
        let links = self.links(parameter).filter_map(Link::local);
        let mut targets: Vec<(String, String)> = links
            .map(|(resource_type, id)| (resource_type.to_owned(), id.to_owned()))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// Targets of a reference parameter that are no `Type/id` of this server: canonical URLs (with
    /// their version, if one is named), absolute URLs, urns.
    pub fn canonicals(&self, parameter: &str) -> Vec<String> {
        let links = self.links(parameter).filter(|link| link.local().is_none());
        links.filter_map(|link| link.target.clone()).collect()
    }

    fn links<'a>(&'a self, parameter: &'a str) -> impl Iterator<Item = &'a Link> {
        let found = self.by_parameter();
        let asked = found.filter(move |(p, _)| parameter == "*" || p.name == parameter);
        asked
            .flat_map(|(_, values)| values)
            .filter_map(|value| match value {
                Value::Reference(link) => Some(link),
                _ => None,
            })
    }
}

fn values_of(parameter: &Parameter, resource: &Json, zone: &Zone) -> Vec<Value> {
    let mut values = Vec::new();
    if parameter.kind == Kind::Sound {
        return values;
    }
    for path in &parameter.paths {
        let system = path.system.as_deref();
        path.visit(resource, &mut |node| match parameter.kind {
            Kind::Composite => values.extend(composite(parameter, node, resource, zone)),
            kind => collect((kind, system), node, zone, &mut values),
        });
    }
    values
}

/// The values of a composite in one context; `None` when a component has none there.
fn composite(parameter: &Parameter, context: &Json, root: &Json, zone: &Zone) -> Option<Value> {
    let mut components = Vec::with_capacity(parameter.components.len());
    // The last component is the one that most contexts lack: they are left before anything is copied.
    for component in parameter.components.iter().rev() {
        let mut values = Vec::new();
        for ComponentPath { is_absolute, path } in &component.paths {
            let kind = (component.kind, path.system.as_deref());
            let start = if *is_absolute { root } else { context };
            path.visit_from(start, root, &mut |node| {
                collect(kind, node, zone, &mut values)
            });
        }
        if values.is_empty() {
            return None;
        }
        components.push(values);
    }
    components.reverse();
    Some(Value::Composite(components))
}

/// `system` is the code system that plain codes have by their binding.
fn collect(
    (kind, system): (Kind, Option<&str>),
    node: &Json,
    zone: &Zone,
    values: &mut Vec<Value>,
) {
    match kind {
        Kind::Token => token::collect(node, system, &mut |v| values.push(Value::Token(v))),
        Kind::Text => string::collect(node, &mut |v| values.push(Value::Text(v))),
        Kind::Reference => reference::collect(node, &mut |v| values.push(Value::Reference(v))),
        Kind::Date => date::collect(node, zone, &mut |v| values.push(Value::Date(v))),
        Kind::Uri => values.extend(node.as_str().map(|text| Value::Uri(text.to_owned()))),
        Kind::Number | Kind::Quantity => {
            quantity::collect(node, &mut |v| values.push(Value::Amount(v)));
        }
        Kind::Place => place::collect(node, &mut |v| values.push(Value::Place(v))),
        Kind::Composite | Kind::Sound => {}
    }
}
