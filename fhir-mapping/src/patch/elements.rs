//! FHIRPath Patch: add, insert, delete, replace and move elements named by paths.
//! <https://hl7.org/fhir/R4/fhirpatch.html>

use super::given::Given;
use super::locate::{locate, locate_list};
use super::path::Path;
use super::place::Place;
use super::{OPERATIONS_MAX, shown};
use crate::fhirpath::Budget;
use crate::model::{Issue, IssueCode, Json};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ElementOperation {
    verb: Verb,
    path: Path,
}

#[derive(Clone, Debug, PartialEq)]
enum Verb {
    Add { name: String, value: Given },
    Insert { index: usize, value: Given },
    Delete,
    Replace(Given),
    Move { source: usize, destination: usize },
}

pub(super) fn read(parameters: &Json) -> Result<Vec<ElementOperation>, Issue> {
    let items = parameters.items("parameter");
    let is_operation = |item: &Json| item.get("name").and_then(Json::as_str) == Some("operation");
    if parameters.resource_type() != Some("Parameters") || !items.iter().all(is_operation) {
        let text = "a FHIRPath Patch is a Parameters resource whose parameters are all `operation`";
        return Err(Issue::error("E-PATCH-9", IssueCode::Structure, "", text));
    }
    if items.len() > OPERATIONS_MAX {
        let text = format!("a FHIRPath Patch has at most {OPERATIONS_MAX} operations");
        return Err(Issue::error("E-PATCH-10", IssueCode::Structure, "", text));
    }
    let items = items.iter().enumerate();
    items
        .map(|(at, item)| {
            operation(item).map_err(|why| {
                let text = format!("operation {at}: {why}");
                let expression = format!("Parameters.parameter[{at}]");
                Issue::error("E-PATCH-11", IssueCode::Structure, expression, text)
            })
        })
        .collect()
}

fn operation(item: &Json) -> Result<ElementOperation, String> {
    let part = |name: &str| {
        let mut parts = item.items("part").iter();
        parts.find(|part| part.get("name").and_then(Json::as_str) == Some(name))
    };
    let text = |name: &str| {
        let part = part(name)?;
        let text = |key: &str| part.get(key).and_then(Json::as_str);
        text("valueString").or_else(|| text("valueCode"))
    };
    let number = |name: &str| {
        let digits = part(name).and_then(|part| part.get("valueInteger")?.as_number());
        let number = digits.and_then(|digits| digits.parse::<usize>().ok());
        number.ok_or_else(|| format!("the part {name} needs a valueInteger from 0"))
    };
    let value = || {
        let part = part("value").ok_or_else(|| "the part value is missing".to_owned())?;
        Given::read(part, 0)
    };
    let path = text("path").ok_or_else(|| "the part path is missing".to_owned())?;
    let verb = match text("type") {
        Some("add") => Verb::Add {
            name: text("name")
                .ok_or_else(|| "the part name is missing".to_owned())?
                .to_owned(),
            value: value()?,
        },
        Some("insert") => Verb::Insert {
            index: number("index")?,
            value: value()?,
        },
        Some("delete") => Verb::Delete,
        Some("replace") => Verb::Replace(value()?),
        Some("move") => Verb::Move {
            source: number("source")?,
            destination: number("destination")?,
        },
        _ => return Err("the type is one of add, insert, delete, replace, move".to_owned()),
    };
    let path = Path::parse(path)?;
    Ok(ElementOperation { verb, path })
}

/// What finding the places of all operations may cost.
const STEPS_MAX: u64 = 5_000_000;

/// Makes the operations in order; the first that does not fit ends it.
pub(super) fn apply(root: &mut Json, operations: &[ElementOperation]) -> Result<(), Issue> {
    let mut budget = Budget { steps: STEPS_MAX };
    for (at, operation) in operations.iter().enumerate() {
        operation.make(root, &mut budget).map_err(|why| {
            let (verb, path) = (operation.name(), &operation.path.text);
            let text = format!("operation {at} ({verb} {path}): {why}");
            Issue::error("E-PATCH-12", IssueCode::NotFound, "", text)
        })?;
    }
    Ok(())
}

impl ElementOperation {
    fn make(&self, root: &mut Json, budget: &mut Budget) -> Result<(), String> {
        match &self.verb {
            Verb::Add { name, value } => add(root, &self.one(root, budget)?, (name, value)),
            Verb::Insert { index, value } => {
                let list = self.list(root, budget)?;
                let scope = list.scope(root);
                let value = value.render(scope.resource_type, &scope.names)?;
                list.insert(root, *index, value)
                    .ok_or_else(|| "the list has no such place".to_owned())
            }
            Verb::Delete => match locate(root, &self.path, budget)?.as_slice() {
                [] => Ok(()),
                [one] => one
                    .remove(root)
                    .ok_or_else(|| "the resource itself is no element".to_owned()),
                _ => Err(several()),
            },
            Verb::Replace(value) => replace(root, &self.one(root, budget)?, value),
            Verb::Move {
                source,
                destination,
            } => self
                .list(root, budget)?
                .shift(root, (*source, *destination))
                .ok_or_else(|| "the list has no such place".to_owned()),
        }
    }

    pub(super) fn rewrite(&mut self, rewrite: &mut impl FnMut(&mut Json)) {
        match &mut self.verb {
            Verb::Add { name, value } => value.rewrite(name, rewrite),
            Verb::Insert { value, .. } | Verb::Replace(value) => {
                value.rewrite(self.path.last_name(), rewrite);
            }
            Verb::Delete | Verb::Move { .. } => {}
        }
    }

    fn one(&self, root: &Json, budget: &mut Budget) -> Result<Place, String> {
        let mut found = locate(root, &self.path, budget)?.into_iter();
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err("nothing is there".to_owned()),
            (Some(_), Some(_)) => Err(several()),
        }
    }

    fn list(&self, root: &Json, budget: &mut Budget) -> Result<Place, String> {
        let list = locate_list(root, &self.path, budget)?;
        let list = list.ok_or_else(|| "the path does not name one list".to_owned())?;
        let scope = list.scope(root);
        let (name, parents) = match scope.names.split_last() {
            Some((name, parents)) => (*name, parents),
            None => return Err("the path names the resource itself".to_owned()),
        };
        let found = crate::structure::shape::shapes(scope.resource_type, parents, name);
        match found.as_slice() {
            [one] if one.is_array => Ok(list),
            _ => Err("the path names no list".to_owned()),
        }
    }

    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add { .. } => "add",
            Verb::Insert { .. } => "insert",
            Verb::Delete => "delete",
            Verb::Replace(_) => "replace",
            Verb::Move { .. } => "move",
        }
    }
}

fn add(root: &mut Json, holder: &Place, (name, given): (&str, &Given)) -> Result<(), String> {
    let scope = holder.scope(root);
    let no_such = || format!("the element there has no {}", shown(name));
    let shape = given.shape(scope.resource_type, &scope.names, name);
    let shape = shape.ok_or_else(no_such)?;
    let below = [scope.names.as_slice(), &[shape.json_name]].concat();
    let value = given.render(scope.resource_type, &below)?;
    let mut rivals = crate::structure::shape::shapes(scope.resource_type, &scope.names, shape.name);
    rivals.push(shape);
    let place = holder.member(shape.json_name);
    if shape.is_array {
        let end = place.len(root);
        return place.insert(root, end, value).ok_or_else(no_such);
    }
    let object = holder.get_mut(root).and_then(Json::as_object_mut);
    let object = object.ok_or_else(|| "the place is no element that holds others".to_owned())?;
    if rivals
        .iter()
        .any(|rival| object.get(rival.json_name).is_some())
    {
        return Err(format!("{} is there already: replace it", shape.name));
    }
    object.set(shape.json_name, value);
    Ok(())
}

/// A choice may get another type, and then another name in JSON.
fn replace(root: &mut Json, place: &Place, given: &Given) -> Result<(), String> {
    let scope = place.scope(root);
    let Some((json_name, parents)) = scope.names.split_last() else {
        return Err("the path names a whole resource".to_owned());
    };
    let current = crate::structure::shape::shapes(scope.resource_type, parents, json_name);
    let name = current.first().map_or(*json_name, |shape| shape.name);
    let shape = given.shape(scope.resource_type, parents, name);
    let shape = shape.ok_or_else(|| "the element cannot hold this type".to_owned())?;
    let below = [parents, &[shape.json_name]].concat();
    let value = given.render(scope.resource_type, &below)?;
    if shape.json_name == *json_name {
        if let Some(old) = place.get_mut(root) {
            *old = value;
        }
        return Ok(());
    }
    let holder = place.parent().map(|(holder, _)| holder);
    place.remove(root);
    let object = holder.and_then(|holder| holder.get_mut(root)?.as_object_mut());
    let object = object.ok_or_else(|| "the place is no element that holds others".to_owned())?;
    object.set(shape.json_name, value);
    Ok(())
}

fn several() -> String {
    "several elements are there; the path must name one".to_owned()
}
