//! What an expression works on: elements of a resource, and values of the System types.

use super::Stop;
use super::moment::{Moment, MomentKind};
use super::number::{self, Quantity};
use crate::model::Json;
use crate::structure::primitive::Primitive;
use crate::structure::table::{Slots, Type, table};
use bigdecimal::BigDecimal;
use std::borrow::Cow;
use std::rc::Rc;

/// One item of a collection.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    Node(Node<'a>),
    Value(Value<'a>),
}

/// A value of a System type: a literal, a result, or what a primitive element holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Integer(i64),
    Decimal(BigDecimal),
    Text(Cow<'a, str>),
    /// Date, date-time or time.
    Moment(Moment),
    Quantity(Quantity),
    /// The answer of `type()`: namespace and name.
    Type(&'static str, String),
}

/// An element of a resource, with its type and place.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// `None` when a primitive has extensions only.
    value: Option<&'a Json>,
    /// The `_` companion of a primitive.
    companion: Option<&'a Json>,
    shape: Shape,
    place: Option<Rc<Place<'a>>>,
}

/// The type of an element.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Complex(&'static Type),
    /// The primitive and the name of its type.
    Primitive(Primitive, &'static str),
    /// A reference's target that is not here: only its resource type is known.
    Elsewhere(&'static Type),
    /// Outside the definitions.
    Unknown,
}

/// One step from a resource to an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The member in JSON: `valueQuantity`.
    pub json_name: &'a str,
    /// The element in FHIRPath: `value`.
    pub name: &'a str,
    /// The position, where the element repeats.
    pub index: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Place<'a> {
    before: Option<Rc<Place<'a>>>,
    step: Step<'a>,
}

impl<'a> Node<'a> {
    /// A whole resource.
    pub fn root(resource: &'a Json) -> Node<'a> {
        Node {
            value: Some(resource),
            companion: None,
            shape: resource_shape(resource),
            place: None,
        }
    }

    /// The element's JSON; `None` when a primitive has extensions only.
    pub fn json(&self) -> Option<&'a Json> {
        self.value
    }

    /// The name of its type: `Patient`, `HumanName`, `code`; empty when it is not known.
    pub fn type_name(&self) -> &'static str {
        match self.shape {
            Shape::Complex(of) | Shape::Elsewhere(of) => of.name,
            Shape::Primitive(_, name) => name,
            Shape::Unknown => "",
        }
    }

    /// The way to it from the resource that evaluation began with, outermost step first.
    pub fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut place = self.place.as_ref();
        while let Some(here) = place {
            steps.push(here.step.clone());
            place = here.before.as_ref();
        }
        steps.reverse();
        steps
    }

    /// `name[0].given[1]`: its FHIRPath below the resource; empty for the resource.
    pub fn path(&self) -> String {
        let mut text = String::new();
        for step in self.steps() {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(step.name);
            if let Some(index) = step.index {
                text.push_str(&format!("[{index}]"));
            }
        }
        text
    }

    /// The elements that are given, as slots of the type, with what they hold; `None` outside the
    /// definitions, and where an element is given without a value.
    pub(crate) fn given(&self) -> Option<Slots> {
        let (Shape::Complex(of), Some(Json::Object(object))) = (self.shape, self.value) else {
            return None;
        };
        let mut slots = 0;
        for (key, value) in object.iter() {
            let plain = key.strip_prefix('_').unwrap_or(key);
            match value {
                Json::Null => return None,
                Json::Array(items) if items.is_empty() => return None,
                _ => slots |= of.element(plain).map_or(0, |element| element.slot),
            }
        }
        Some(slots)
    }

    /// The name of the element in its parent; `None` for a resource by itself.
    pub(crate) fn name(&self) -> Option<&'a str> {
        self.place.as_ref().map(|place| place.step.name)
    }

    /// The element's name with its position: `name[0]`.
    pub(crate) fn last_step(&self) -> String {
        let Some(place) = &self.place else {
            return String::new();
        };
        match place.step.index {
            Some(index) => format!("{}[{index}]", place.step.name),
            None => place.step.name.to_owned(),
        }
    }

    /// True for a resource: by itself, contained, or in an entry.
    pub(crate) fn is_resource(&self) -> bool {
        self.value
            .is_some_and(|json| json.get("resourceType").is_some())
    }

    /// True when a primitive has extensions or an id.
    pub(crate) fn has_companion(&self) -> bool {
        self.companion.is_some()
    }

    pub(super) fn companion(&self) -> Option<&'a Json> {
        self.companion
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// An element of this one.
    pub(super) fn child(&self, held: Held<'a>, shape: Shape, step: Step<'a>) -> Node<'a> {
        Node {
            value: held.0,
            companion: held.1,
            shape,
            place: Some(Rc::new(Place {
                before: self.place.clone(),
                step,
            })),
        }
    }

    /// A resource that a reference names but that is not here.
    pub(super) fn elsewhere(of: &'static Type) -> Node<'a> {
        Node {
            value: None,
            companion: None,
            shape: Shape::Elsewhere(of),
            place: None,
        }
    }

    /// Whether both are the same element of the same resource.
    pub(super) fn is_same(&self, other: &Node<'a>) -> bool {
        match (self.value, other.value) {
            (Some(one), Some(two)) => std::ptr::eq(one, two),
            _ => false,
        }
    }

    /// A primitive's value, a Quantity's quantity; `None` for other elements.
    pub(super) fn value(&self) -> Result<Option<Value<'a>>, Stop> {
        let Some(json) = self.value else {
            return Ok(None);
        };
        Ok(match (self.shape, json) {
            (_, Json::Bool(value)) => Some(Value::Bool(*value)),
            (shape, Json::Number(text)) => Some(number_value(shape, text)?),
            (Shape::Primitive(kind, _), Json::String(text)) => Some(text_value(kind, text)),
            (_, Json::String(text)) => Some(Value::Text(Cow::Borrowed(text))),
            (Shape::Complex(of), Json::Object(_))
                if super::types::specialises(of.name, "Quantity") =>
            {
                quantity(json)?.map(Value::Quantity)
            }
            _ => None,
        })
    }
}

/// A value and its companion.
#[derive(Clone, Copy)]
pub(super) struct Held<'a>(pub(super) Option<&'a Json>, pub(super) Option<&'a Json>);

/// The shape of a resource, by its own type.
pub(super) fn resource_shape(resource: &Json) -> Shape {
    let of = resource.resource_type().and_then(|n| table().resource(n));
    of.map_or(Shape::Unknown, Shape::Complex)
}

fn number_value<'a>(shape: Shape, text: &str) -> Result<Value<'a>, Stop> {
    let is_whole = matches!(
        shape,
        Shape::Primitive(
            Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt,
            _
        )
    );
    if is_whole && let Ok(whole) = text.parse() {
        return Ok(Value::Integer(whole));
    }
    number::parse(text).map(Value::Decimal).ok_or(Stop::Number)
}

fn text_value(kind: Primitive, text: &str) -> Value<'_> {
    let moment = match kind {
        Primitive::Date => Moment::date(text),
        Primitive::DateTime | Primitive::Instant => Moment::date_time(text),
        Primitive::Time => Moment::time(text),
        _ => None,
    };
    match moment {
        Some(moment) => Value::Moment(moment),
        None => Value::Text(Cow::Borrowed(text)),
    }
}

/// A Quantity without a comparator, as a System quantity: with its code, else its unit.
fn quantity(json: &Json) -> Result<Option<Quantity>, Stop> {
    let Some(number) = json.get("value").and_then(Json::as_number) else {
        return Ok(None);
    };
    if json.get("comparator").is_some() {
        return Ok(None);
    }
    let value = number::parse(number).ok_or(Stop::Number)?;
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let unit = text("code").or(text("unit")).unwrap_or("1").to_owned();
    Ok(Some(Quantity { value, unit }))
}

impl<'a> Item<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Item<'a> {
        Item::Value(Value::Text(text.into()))
    }

    pub(super) fn bool(value: bool) -> Item<'a> {
        Item::Value(Value::Bool(value))
    }

    pub(super) fn integer(value: i64) -> Item<'a> {
        Item::Value(Value::Integer(value))
    }

    pub(super) fn into_node(self) -> Option<Node<'a>> {
        match self {
            Item::Node(node) => Some(node),
            Item::Value(_) => None,
        }
    }

    /// The element, when the item is one.
    pub fn node(&self) -> Option<&Node<'a>> {
        match self {
            Item::Node(node) => Some(node),
            Item::Value(_) => None,
        }
    }

    /// The value of a primitive, a quantity or a literal.
    pub fn value(&self) -> Result<Option<Value<'a>>, Stop> {
        match self {
            Item::Node(node) => node.value(),
            Item::Value(value) => Ok(Some(value.clone())),
        }
    }
}

impl Value<'_> {
    /// The name of its System type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "Boolean",
            Value::Integer(_) => "Integer",
            Value::Decimal(_) => "Decimal",
            Value::Text(_) => "String",
            Value::Moment(moment) => match moment.kind {
                MomentKind::Date => "Date",
                MomentKind::DateTime => "DateTime",
                MomentKind::Time => "Time",
            },
            Value::Quantity(_) => "Quantity",
            Value::Type(..) => "TypeInfo",
        }
    }
}

/// The collection as a condition (N1 4.5): empty is unknown, one item that is no Boolean is true.
pub(super) fn truth(items: &[Item<'_>], who: &'static str) -> Result<Option<bool>, Stop> {
    match items {
        [] => Ok(None),
        [one] => Ok(Some(match one {
            Item::Node(node) => match node.json() {
                Some(Json::Bool(value)) => *value,
                _ => true,
            },
            Item::Value(Value::Bool(value)) => *value,
            Item::Value(_) => true,
        })),
        _ => Err(Stop::Several(who)),
    }
}
