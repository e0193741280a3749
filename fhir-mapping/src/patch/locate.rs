//! From a path to the places it names in a resource.

use super::path::{Condition, Path, Step};
use super::place::Place;
use crate::model::Json;
use crate::structure::shape::shapes;

/// Every place that the path names, in the resource's order.
pub(super) fn locate(root: &Json, path: &Path) -> Vec<Place> {
    follow(root, vec![Place::default()], below_type(root, &path.steps))
}

/// The list that a path names as a whole, there or not: the place of its last name under the one
/// place that holds it.
pub(super) fn locate_list(root: &Json, path: &Path) -> Option<Place> {
    let (Step::Child(name), holders) = below_type(root, &path.steps).split_last()? else {
        return None;
    };
    match follow(root, vec![Place::default()], holders).as_slice() {
        [holder] if is_object(root, holder) => Some(holder.member(name)),
        _ => None,
    }
}

/// A path may start with the resource's type.
fn below_type<'p>(root: &Json, steps: &'p [Step]) -> &'p [Step] {
    match steps.split_first() {
        Some((Step::Child(name), rest)) if root.resource_type() == Some(name) => rest,
        _ => steps,
    }
}

fn is_object(root: &Json, place: &Place) -> bool {
    place.get(root).and_then(Json::as_object).is_some()
}

fn follow(root: &Json, from: Vec<Place>, steps: &[Step]) -> Vec<Place> {
    steps.iter().fold(from, |places, step| match step {
        Step::Child(name) => {
            let children = places.iter().map(|place| children(root, place, name));
            children.flatten().collect()
        }
        Step::Index(at) => places.into_iter().skip(*at).take(1).collect(),
        Step::First => places.into_iter().take(1).collect(),
        Step::Last => places.into_iter().last().into_iter().collect(),
        Step::Where(condition) => {
            let holds = |place: &Place| holds(root, place, condition);
            places.into_iter().filter(holds).collect()
        }
        Step::OfType(kind) => places
            .into_iter()
            .filter(|place| is_of_type(root, place, kind))
            .collect(),
    })
}

/// The items of a list each; a choice under the name it has in JSON.
fn children(root: &Json, place: &Place, name: &str) -> Vec<Place> {
    let Some(node) = place.get(root).and_then(Json::as_object) else {
        return Vec::new();
    };
    let child = match node.get(name) {
        Some(_) => Some(name),
        None => {
            let scope = place.scope(root);
            let choices = shapes(scope.resource_type, &scope.names, name);
            let names = choices.into_iter().map(|shape| shape.json_name);
            names.into_iter().find(|name| node.get(name).is_some())
        }
    };
    let Some(child) = child.map(|name| place.member(name)) else {
        return Vec::new();
    };
    match child.get(root) {
        Some(Json::Array(items)) => (0..items.len()).map(|at| child.item(at)).collect(),
        _ => vec![child],
    }
}

fn is_of_type(root: &Json, place: &Place, kind: &str) -> bool {
    if place.get(root).and_then(Json::resource_type) == Some(kind) {
        return true;
    }
    let name = place.name();
    let mut chars = kind.chars();
    let capital = chars.next().map(|c| c.to_ascii_uppercase());
    let suffix: String = capital.into_iter().chain(chars).collect();
    name.len() > suffix.len() && name.ends_with(&suffix)
}

fn holds(root: &Json, place: &Place, condition: &Condition) -> bool {
    let found = |steps: &[Step]| follow(root, vec![place.clone()], steps);
    match condition {
        Condition::All(all) => all.iter().all(|one| holds(root, place, one)),
        Condition::Any(any) => any.iter().any(|one| holds(root, place, one)),
        Condition::Exists(steps) => !found(steps).is_empty(),
        Condition::Compare {
            steps,
            is_equal,
            literal,
        } => match found(steps).as_slice() {
            // As FHIRPath has it: comparing nothing, or several, holds never.
            [one] => (text_of(one.get(root)) == Some(literal)) == *is_equal,
            _ => false,
        },
    }
}

fn text_of(value: Option<&Json>) -> Option<&str> {
    match value? {
        Json::String(text) => Some(text),
        Json::Number(text) => Some(text),
        Json::Bool(true) => Some("true"),
        Json::Bool(false) => Some("false"),
        _ => None,
    }
}
