//! From an element to the elements inside it.

use super::item::{Held, Item, Node, Shape, Step, resource_shape};
use crate::model::{Json, Object};
use crate::structure::primitive::Primitive;
use crate::structure::table::{Element, Kind, Type, table};

impl<'a> Node<'a> {
    /// The elements inside, in document order.
    pub(crate) fn children(&self) -> Vec<Node<'a>> {
        let mut found = Vec::new();
        children(self, &mut found);
        found.into_iter().filter_map(Item::into_node).collect()
    }

    /// The elements inside that hold others: all but primitives without extensions.
    pub(crate) fn parts(&self) -> Vec<Node<'a>> {
        let mut found = Vec::new();
        parts(self, &mut found);
        found.into_iter().filter_map(Item::into_node).collect()
    }

    /// The elements of one name inside.
    pub(crate) fn members(&self, name: &str) -> Vec<Node<'a>> {
        let mut found = Vec::new();
        member(self, name, &mut found);
        found.into_iter().filter_map(Item::into_node).collect()
    }
}

/// Adds the elements called `name` inside `node`; choices go by their plain name.
pub(super) fn member<'a>(node: &Node<'a>, name: &str, found: &mut Vec<Item<'a>>) {
    let (of, object) = match inside(node) {
        Some(Inside::Typed(of, object)) => (of, object),
        Some(Inside::Untyped(object)) => {
            if let Some((key, value)) = object.iter().find(|(key, _)| *key == name) {
                untyped(node, (key, value), found);
            }
            return;
        }
        None => return,
    };
    match of.element(name).filter(|e| !e.is_choice) {
        Some(element) => add(node, element, object, found),
        None => {
            let of_choice = |key: &str| {
                let plain = key.strip_prefix('_').unwrap_or(key);
                let starts = plain.len() > name.len() && plain.starts_with(name);
                starts
                    .then(|| of.element(plain))?
                    .filter(|e| e.is_choice && e.name == name)
            };
            if let Some(element) = object.keys().find_map(of_choice) {
                add(node, element, object, found);
            }
        }
    }
}

/// Adds all elements inside `node`, in document order.
pub(super) fn children<'a>(node: &Node<'a>, found: &mut Vec<Item<'a>>) {
    match inside(node) {
        Some(Inside::Typed(of, object)) => {
            for key in object.keys() {
                let plain = key.strip_prefix('_').unwrap_or(key);
                if plain.len() < key.len() && object.get(plain).is_some() {
                    continue;
                }
                if let Some(element) = of.element(plain) {
                    add(node, element, object, found);
                }
            }
        }
        Some(Inside::Untyped(object)) => {
            for member in object.iter().filter(|(key, _)| *key != "resourceType") {
                untyped(node, member, found);
            }
        }
        None => {}
    }
}

/// Adds the elements inside that hold others.
pub(super) fn parts<'a>(node: &Node<'a>, found: &mut Vec<Item<'a>>) {
    let Some(Inside::Typed(of, object)) = inside(node) else {
        return children(node, found);
    };
    if object.keys().any(|key| key.starts_with('_')) {
        return children(node, found);
    }
    for key in object.keys() {
        match of.element(key) {
            Some(element) if !matches!(element.kind, Kind::Primitive(_)) => {
                add(node, element, object, found);
            }
            _ => {}
        }
    }
}

enum Inside<'a> {
    Typed(&'static Type, &'a Object),
    Untyped(&'a Object),
}

fn inside<'a>(node: &Node<'a>) -> Option<Inside<'a>> {
    match node.shape() {
        Shape::Complex(of) => Some(Inside::Typed(of, node.json()?.as_object()?)),
        Shape::Primitive(..) => {
            let companion = node.companion()?.as_object()?;
            Some(Inside::Typed(table().companion()?, companion))
        }
        Shape::Unknown => Some(Inside::Untyped(node.json()?.as_object()?)),
        Shape::Elsewhere(_) => None,
    }
}

fn add<'a>(node: &Node<'a>, element: &Element, object: &'a Object, found: &mut Vec<Item<'a>>) {
    let is_primitive = matches!(element.kind, Kind::Primitive(_));
    let companion = is_primitive
        .then(|| companion(object, element.json_name))
        .flatten();
    let value = object.get(element.json_name);
    let step = |index| Step {
        json_name: element.json_name,
        name: element.name,
        index,
    };
    let (values, companions) = match (value, companion) {
        (Some(Json::Array(values)), Some(Json::Array(companions))) => {
            (values.as_slice(), companions.as_slice())
        }
        (Some(Json::Array(values)), _) => (values.as_slice(), [].as_slice()),
        (None, Some(Json::Array(companions))) => ([].as_slice(), companions.as_slice()),
        (None, None) => return,
        (value, companion) => {
            let shape = shape(element, value);
            found.push(Item::Node(node.child(
                Held(value, companion),
                shape,
                step(None),
            )));
            return;
        }
    };
    for index in 0..values.len().max(companions.len()) {
        let real = |json: &&Json| **json != Json::Null;
        let value = values.get(index).filter(real);
        let companion = companions.get(index).filter(real);
        if value.is_some() || companion.is_some() {
            let (held, shape) = (Held(value, companion), shape(element, value));
            found.push(Item::Node(node.child(held, shape, step(Some(index)))));
        }
    }
}

fn companion<'a>(object: &'a Object, name: &str) -> Option<&'a Json> {
    let mut members = object.iter();
    let found = members.find(|(key, _)| key.strip_prefix('_') == Some(name));
    found.map(|(_, value)| value)
}

fn shape(element: &Element, value: Option<&Json>) -> Shape {
    match element.kind {
        Kind::Primitive(kind) => Shape::Primitive(kind, element.type_name),
        Kind::Complex(index) => table()
            .type_at(index)
            .map_or(Shape::Unknown, Shape::Complex),
        Kind::Resource => value.map_or(Shape::Unknown, resource_shape),
    }
}

/// Members outside the definitions: types are those of JSON.
fn untyped<'a>(node: &Node<'a>, member: (&'a str, &'a Json), found: &mut Vec<Item<'a>>) {
    let (name, value) = member;
    let mut push = |value: &'a Json, index| {
        let shape = match value {
            Json::Bool(_) => Shape::Primitive(Primitive::Boolean, "boolean"),
            Json::Number(_) => Shape::Primitive(Primitive::Decimal, "decimal"),
            Json::String(_) => Shape::Primitive(Primitive::Text, "string"),
            _ => resource_shape(value),
        };
        let step = Step {
            json_name: name,
            name,
            index,
        };
        found.push(Item::Node(node.child(Held(Some(value), None), shape, step)));
    };
    match value {
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push(item, Some(index));
            }
        }
        single => push(single, None),
    }
}
