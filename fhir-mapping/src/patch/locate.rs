//! From a path to the places it names in a resource.

use super::path::Path;
use super::place::Place;
use crate::fhirpath::{Budget, Item, Scope};
use crate::model::Json;

/// Every place that the path names, in the resource's order.
pub(super) fn locate(root: &Json, path: &Path, budget: &mut Budget) -> Result<Vec<Place>, String> {
    let found = path.expression.evaluate(&Scope::of(root), budget);
    let found = found.map_err(|stop| stop.to_string())?;
    found.iter().map(place).collect()
}

/// The list that a path names as a whole, there or not: the place of its last name under the one
/// place that holds it.
pub(super) fn locate_list(
    root: &Json,
    path: &Path,
    budget: &mut Budget,
) -> Result<Option<Place>, String> {
    let found = path.expression.holders(&Scope::of(root), budget);
    let Some((holders, name)) = found.map_err(|stop| stop.to_string())? else {
        return Ok(None);
    };
    let [holder] = holders.as_slice() else {
        return Ok(None);
    };
    let holder = place(holder)?;
    let is_object = holder.get(root).and_then(Json::as_object).is_some();
    Ok(is_object.then(|| holder.member(name)))
}

fn place(item: &Item<'_>) -> Result<Place, String> {
    let node = item.node();
    let node = node.ok_or_else(|| "the path names a value, not a place".to_owned())?;
    let place = node.steps().iter().fold(Place::default(), |place, step| {
        let member = place.member(step.json_name);
        match step.index {
            Some(index) => member.item(index),
            None => member,
        }
    });
    Ok(place)
}
