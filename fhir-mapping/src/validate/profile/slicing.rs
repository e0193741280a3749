//! Which slice an element belongs to (R4 5.1.0.14).

use super::{Discriminator, DiscriminatorKind, PathStep, Rule, Slice, Slicing, small_budget};
use crate::fhirpath::{Node, Outside, Scope};
use crate::model::Json;

/// Answers whether an element conforms to the profile of a URL.
pub(super) type Conforms<'a, 'c> = dyn FnMut(&Scope<'a>, &str) -> bool + 'c;

/// The first slice whose discriminators fit, by its place; `None` when the element is in no slice.
pub(super) fn slice_of<'a>(
    rule: &'a Rule,
    scope: &Scope<'a>,
    conforms: &mut Conforms<'a, '_>,
) -> Option<usize> {
    rule.slices
        .iter()
        .position(|slice| belongs(&slice.rule, (rule.slicing.as_ref(), scope), conforms))
}

fn belongs<'a>(
    slice: &'a Rule,
    (slicing, scope): (Option<&'a Slicing>, &Scope<'a>),
    conforms: &mut Conforms<'a, '_>,
) -> bool {
    let node = &scope.focus;
    let is_extension = node.type_name() == "Extension";
    let url = slice.types.iter().flat_map(|of| &of.profiles).next();
    if let Some(url) = url.filter(|_| is_extension) {
        let found = node.json().and_then(|j| j.get("url")?.as_str());
        return found == Some(super::plain(url).as_str());
    }
    let discriminators = slicing.map_or(&[][..], |s| s.discriminators.as_slice());
    if discriminators.is_empty() {
        // A choice is sliced by type without saying so.
        return !slice.types.is_empty() && is_of_types(node, slice);
    }
    discriminators
        .iter()
        .all(|by| fits_at(slice, (by, scope), conforms))
}

fn fits_at<'a>(
    slice: &'a Rule,
    (by, scope): (&'a Discriminator, &Scope<'a>),
    conforms: &mut Conforms<'a, '_>,
) -> bool {
    let wanted = rule_at(slice, &by.steps);
    let found = by.path.evaluate(scope, &mut small_budget());
    let nodes: Vec<Node<'a>> = found
        .unwrap_or_default()
        .iter()
        .filter_map(|item| item.node().cloned())
        .collect();
    let is_target = by.steps.last() == Some(&PathStep::Resolve);
    match (by.kind, wanted) {
        (DiscriminatorKind::Profile, None) => false,
        (DiscriminatorKind::Profile, Some(rule)) => {
            let urls = rule.types.iter().flat_map(|of| match is_target {
                true => &of.targets,
                false => &of.profiles,
            });
            let urls: Vec<&String> = urls.collect();
            nodes.iter().any(|node| {
                let at = scope.at(node.clone());
                urls.iter().any(|url| conforms(&at, url))
            })
        }
        (DiscriminatorKind::Exists, Some(rule)) => nodes.is_empty() == (rule.max == Some(0)),
        (DiscriminatorKind::Exists, None) => true,
        (DiscriminatorKind::Type, wanted) => {
            let types = wanted.filter(|rule| !rule.types.is_empty());
            types.is_some_and(|rule| {
                nodes.iter().any(|node| match is_target {
                    true => is_of_targets(node, rule),
                    false => is_of_types(node, rule),
                })
            })
        }
        (DiscriminatorKind::Value, Some(rule)) => {
            let is_judged = expects(rule);
            is_judged && nodes.iter().any(|node| fits(node, rule, scope.outside))
        }
        (DiscriminatorKind::Value, None) => holds_above(slice, &by.steps, scope),
    }
}

/// What the slice asks at the path: of a reference's target the reference tells.
fn rule_at<'a>(slice: &'a Rule, steps: &[PathStep]) -> Option<&'a Rule> {
    steps.iter().try_fold(slice, |rule, step| match step {
        PathStep::Resolve => Some(rule),
        PathStep::Name(name) => rule.children.iter().find(|child| child.name == *name),
        PathStep::Extension(url) => {
            let extension = rule.children.iter().find(|c| c.name == "extension")?;
            let is_meant = |slice: &&Slice| {
                let mut urls = slice.rule.types.iter().flat_map(|of| &of.profiles);
                urls.any(|named| super::plain(named) == *url)
            };
            Some(&extension.slices.iter().find(is_meant)?.rule)
        }
    })
}

/// Whether a reference's target is of a type that the reference may have.
fn is_of_targets(node: &Node<'_>, rule: &Rule) -> bool {
    let targets = rule.types.iter().flat_map(|of| &of.targets);
    let mut names = targets.filter_map(|url| url.rsplit('/').next());
    names.any(|name| crate::fhirpath::types::specialises(node.type_name(), name))
}

/// The slice asks nothing at the path itself: a pattern further up may.
fn holds_above(slice: &Rule, steps: &[PathStep], scope: &Scope<'_>) -> bool {
    let mut rule = slice;
    let mut nodes = vec![scope.focus.clone()];
    for step in steps {
        let PathStep::Name(name) = step else {
            return false;
        };
        if rule.fixed.is_some() || rule.pattern.is_some() {
            break;
        }
        let Some(next) = rule.children.iter().find(|c| c.name == *name) else {
            return false;
        };
        rule = next;
        nodes = nodes.iter().flat_map(|node| node.members(name)).collect();
    }
    expects(rule) && nodes.iter().any(|node| fits(node, rule, scope.outside))
}

/// Whether the rule, or one below it, tells values apart.
fn expects(rule: &Rule) -> bool {
    rule.fixed.is_some()
        || rule.pattern.is_some()
        || rule.binding.as_ref().is_some_and(|b| b.is_required)
        || rule.children.iter().any(expects)
}

/// Whether an element has the values that a rule asks for, at it and below.
fn fits(node: &Node<'_>, rule: &Rule, outside: Option<&dyn Outside>) -> bool {
    let json = node.json();
    let is_fixed = rule.fixed.as_ref().is_none_or(|fixed| json == Some(fixed));
    let is_held = match (&rule.pattern, json) {
        (None, _) => true,
        (Some(pattern), Some(json)) => holds(json, pattern),
        (Some(_), None) => false,
    };
    let is_bound = match (&rule.binding, json, outside) {
        (Some(binding), Some(json), Some(outside)) if binding.is_required => {
            super::check::member(outside, &binding.value_set, json) != Some(false)
        }
        _ => true,
    };
    is_fixed
        && is_held
        && is_bound
        && rule.children.iter().filter(|c| expects(c)).all(|child| {
            let found = node.members(&child.name);
            found.iter().any(|inner| fits(inner, child, outside))
        })
}

/// Whether a value holds at least what the pattern has (R4 ElementDefinition.pattern).
pub(super) fn holds(value: &Json, pattern: &Json) -> bool {
    match (value, pattern) {
        (Json::Object(value), Json::Object(pattern)) => pattern.iter().all(|(key, wanted)| {
            let found = value.get(key);
            found.is_some_and(|found| holds(found, wanted))
        }),
        (Json::Array(values), Json::Array(patterns)) => patterns
            .iter()
            .all(|wanted| values.iter().any(|value| holds(value, wanted))),
        _ => value == pattern,
    }
}

/// Whether an element is of one of the types.
pub(super) fn is_of_types(node: &Node<'_>, rule: &Rule) -> bool {
    let found = node.type_name();
    rule.types.iter().any(|of| {
        // `http://hl7.org/fhirpath/System.String` stands for ids and urls.
        let code = of.code.rsplit('/').next().unwrap_or_default();
        code.starts_with("System.")
            || crate::fhirpath::types::specialises(found, code)
            || (node.json().is_none() && node.has_companion())
    })
}

/// The elements of a name, in FHIRPath or as in JSON with its type: `valueQuantity`.
pub(super) fn named<'a>(node: &Node<'a>, name: &str) -> Vec<Node<'a>> {
    let found = node.members(name);
    if !found.is_empty() {
        return found;
    }
    let of = crate::structure::table::table().type_named(node.type_name());
    let choice = of.and_then(|of| of.element(name)).filter(|e| e.is_choice);
    let Some(choice) = choice else {
        return found;
    };
    let mut found = node.members(choice.name);
    found.retain(|node| {
        let steps = node.steps();
        steps.last().is_some_and(|step| step.json_name == name)
    });
    found
}
