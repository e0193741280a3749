//! Values that a FHIRPath Patch brings: `value[x]`, a resource, or parts for elements that have no
//! type of their own (as `Patient.contact`).

use super::rewrite_member;
use crate::model::{Json, Object};
use crate::structure::shape::{Shape, shapes};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// `suffix` is the `Quantity` of `valueQuantity`.
    Typed {
        suffix: String,
        value: Json,
    },
    Resource(Json),
    Parts(Vec<(String, Given)>),
}

/// Parts inside parts, as deep as any element of R4.
const DEPTH_MAX: usize = 12;

impl Given {
    /// Reads a part. `Err` says what is wrong with it.
    pub(super) fn read(part: &Json, depth: usize) -> Result<Given, String> {
        if depth > DEPTH_MAX {
            return Err(format!("parts nest deeper than {DEPTH_MAX}"));
        }
        let members = part.as_object().into_iter().flat_map(Object::iter);
        for (name, value) in members {
            if name.starts_with("_value") {
                return Err("a value with extensions of its own is not taken".to_owned());
            }
            if let Some(suffix) = name.strip_prefix("value") {
                return Ok(Given::Typed {
                    suffix: suffix.to_owned(),
                    value: value.clone(),
                });
            }
        }
        if let Some(resource) = part.get("resource") {
            return Ok(Given::Resource(resource.clone()));
        }
        let parts = part.items("part").iter().map(|part| {
            let name = part.get("name").and_then(Json::as_str);
            let name = name.ok_or_else(|| "a part of the value has no name".to_owned())?;
            Ok((name.to_owned(), Given::read(part, depth + 1)?))
        });
        match parts.collect::<Result<Vec<_>, String>>()? {
            parts if parts.is_empty() => Err("the value is empty".to_owned()),
            parts => Ok(Given::Parts(parts)),
        }
    }

    /// The shape that the element `name` has with this value.
    pub(super) fn shape(&self, resource_type: &str, parents: &[&str], name: &str) -> Option<Shape> {
        let found = shapes(resource_type, parents, name);
        let is_meant = |shape: &&Shape| match self {
            Given::Typed { suffix, .. } if shape.is_choice => {
                shape.json_name.strip_prefix(shape.name) == Some(suffix)
            }
            _ => !shape.is_choice,
        };
        found.iter().find(is_meant).copied()
    }

    /// The value as it stands in JSON below `names`.
    pub(super) fn render(&self, resource_type: &str, names: &[&str]) -> Result<Json, String> {
        let parts = match self {
            Given::Typed { value, .. } => return Ok(value.clone()),
            Given::Resource(resource) => return Ok(resource.clone()),
            Given::Parts(parts) => parts,
        };
        let mut object = Object::new();
        for (name, given) in parts {
            let shape = given.shape(resource_type, names, name);
            let Some(shape) = shape else {
                return Err(format!("the element has no {}", super::shown(name)));
            };
            let below = [names, &[shape.json_name]].concat();
            let value = given.render(resource_type, &below)?;
            match object.get_mut(shape.json_name) {
                Some(Json::Array(items)) => items.push(value),
                Some(_) => return Err(format!("{} is given twice", shape.json_name)),
                None if shape.is_array => object.set(shape.json_name, Json::array([value])),
                None => object.set(shape.json_name, value),
            }
        }
        Ok(Json::Object(object))
    }

    pub(super) fn rewrite(&mut self, name: &str, rewrite: &mut impl FnMut(&mut Json)) {
        match self {
            Given::Typed { value, suffix } => {
                // A uri keeps the name that tells it from a plain text.
                let is_plain = matches!(suffix.as_str(), "String" | "Markdown" | "Code" | "Id");
                let name = if is_plain { "value" } else { name };
                rewrite_member(name, value, rewrite);
            }
            Given::Resource(resource) => rewrite(resource),
            Given::Parts(parts) => {
                for (name, given) in parts {
                    given.rewrite(name, rewrite);
                }
            }
        }
    }
}
