//! Equality, equivalence and order (N1 6.1, 6.2), and sets of items that are equal.

use super::item::{Item, Node, Value};
use super::moment::Moment;
use super::{Budget, Stop, number};
use crate::model::Json;
use bigdecimal::BigDecimal;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// `=`: `None` when it cannot be told (precision, units).
pub(super) fn equal(
    one: &Item<'_>,
    two: &Item<'_>,
    budget: &mut Budget,
) -> Result<Option<bool>, Stop> {
    budget.spend(1)?;
    if let (Item::Node(one), Item::Node(two)) = (one, two) {
        if one.is_same(two) {
            return Ok(Some(true));
        }
        if let (Some(Json::Object(_)), Some(Json::Object(_))) = (one.json(), two.json()) {
            return deep(one.json(), two.json(), budget).map(Some);
        }
    }
    let (Some(one), Some(two)) = (one.value()?, two.value()?) else {
        return Ok(Some(false));
    };
    Ok(values_equal(&one, &two))
}

fn values_equal(one: &Value<'_>, two: &Value<'_>) -> Option<bool> {
    match (one, two) {
        (Value::Bool(one), Value::Bool(two)) => Some(one == two),
        (Value::Text(one), Value::Text(two)) => Some(one == two),
        (Value::Integer(one), Value::Integer(two)) => Some(one == two),
        (Value::Moment(one), Value::Moment(two)) => moments_equal(one, two),
        (Value::Quantity(one), Value::Quantity(two)) => one.order(two).map(Ordering::is_eq),
        (Value::Type(space, name), Value::Type(other_space, other)) => {
            Some(space == other_space && name == other)
        }
        (Value::Moment(moment), Value::Text(text)) | (Value::Text(text), Value::Moment(moment)) => {
            // A primitive's text is a date only by its type: `'2012' = @2012` is no match.
            Some(moment.text() == **text)
        }
        _ => match (decimal(one), decimal(two)) {
            (Some(one), Some(two)) => Some(one == two),
            _ => Some(false),
        },
    }
}

fn moments_equal(one: &Moment, two: &Moment) -> Option<bool> {
    use super::moment::MomentKind::Time;
    if (one.kind == Time) != (two.kind == Time) {
        return Some(false);
    }
    one.order(two).map(Ordering::is_eq)
}

/// A number as a decimal.
pub(super) fn decimal(value: &Value<'_>) -> Option<BigDecimal> {
    match value {
        Value::Integer(whole) => Some(BigDecimal::from(*whole)),
        Value::Decimal(decimal) => Some(decimal.clone()),
        _ => None,
    }
}

/// `<` and its kin: `None` when it cannot be told.
pub(super) fn order(one: &Item<'_>, two: &Item<'_>) -> Result<Option<Ordering>, Stop> {
    let (Some(one), Some(two)) = (one.value()?, two.value()?) else {
        return Err(Stop::Type("a comparison"));
    };
    match (&one, &two) {
        (Value::Text(one), Value::Text(two)) => Ok(Some(one.cmp(two))),
        (Value::Moment(one), Value::Moment(two)) => Ok(one.order(two)),
        (Value::Moment(moment), Value::Text(text)) => {
            Ok(like(moment, text).and_then(|other| moment.order(&other)))
        }
        (Value::Text(text), Value::Moment(moment)) => {
            Ok(like(moment, text).and_then(|other| other.order(moment)))
        }
        (Value::Quantity(one), Value::Quantity(two)) => Ok(one.order(two)),
        (Value::Quantity(one), number) => match decimal(number) {
            Some(number) if one.unit == "1" => Ok(Some(one.value.cmp(&number))),
            _ => Err(Stop::Type("a comparison")),
        },
        _ => match (decimal(&one), decimal(&two)) {
            (Some(one), Some(two)) => Ok(Some(one.cmp(&two))),
            _ => Err(Stop::Type("a comparison")),
        },
    }
}

fn like(moment: &Moment, text: &str) -> Option<Moment> {
    match moment.kind {
        super::moment::MomentKind::Time => Moment::time(text),
        _ => Moment::date_time(text),
    }
}

/// `~`: case and white space fold, the shorter precision of decimals counts, order does not.
pub(super) fn equivalent(
    one: &Item<'_>,
    two: &Item<'_>,
    budget: &mut Budget,
) -> Result<bool, Stop> {
    budget.spend(1)?;
    if let (Item::Node(left), Item::Node(right)) = (one, two)
        && let (Some(Json::Object(_)), Some(Json::Object(_))) = (left.json(), right.json())
    {
        return Ok(left.is_same(right) || deep(left.json(), right.json(), budget)?);
    }
    let (Some(one), Some(two)) = (one.value()?, two.value()?) else {
        return Ok(false);
    };
    Ok(match (&one, &two) {
        (Value::Text(one), Value::Text(two)) => {
            budget.spend((one.len() + two.len()) / 64)?;
            folded(one) == folded(two)
        }
        (Value::Moment(one), Value::Moment(two)) => {
            one.known == two.known && moments_equal(one, two) == Some(true)
        }
        (Value::Quantity(left), Value::Quantity(right)) => left.is_equivalent(right),
        _ => match (decimal(&one), decimal(&two)) {
            (Some(one), Some(two)) => number::is_equivalent(&one, &two),
            _ => values_equal(&one, &two) == Some(true),
        },
    })
}

fn folded(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Deep equality; members may be in any order.
fn deep(one: Option<&Json>, two: Option<&Json>, budget: &mut Budget) -> Result<bool, Stop> {
    budget.spend(1)?;
    Ok(match (one, two) {
        (Some(Json::Object(one)), Some(Json::Object(two))) => {
            if one.len() != two.len() {
                return Ok(false);
            }
            for (key, value) in one.iter() {
                if !deep(Some(value), two.get(key), budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Some(Json::Array(one)), Some(Json::Array(two))) => {
            if one.len() != two.len() {
                return Ok(false);
            }
            for (one, two) in one.iter().zip(two) {
                if !deep(Some(one), Some(two), budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Some(Json::Number(one)), Some(Json::Number(two))) => {
            one == two || number::parse(one) == number::parse(two)
        }
        (Some(one), Some(two)) => one == two,
        _ => false,
    })
}

/// Items by equality, so that many are looked up without comparing all with all.
#[derive(Default)]
pub(super) struct Set<'a> {
    buckets: HashMap<u64, Vec<Item<'a>>>,
}

impl<'a> Set<'a> {
    pub(super) fn of(items: &[Item<'a>], budget: &mut Budget) -> Result<Set<'a>, Stop> {
        let mut set = Set::default();
        for item in items {
            set.insert(item, budget)?;
        }
        Ok(set)
    }

    /// False when an equal item is there already.
    pub(super) fn insert(&mut self, item: &Item<'a>, budget: &mut Budget) -> Result<bool, Stop> {
        if self.contains(item, budget)? {
            return Ok(false);
        }
        let bucket = self.buckets.entry(key(item, budget)?).or_default();
        bucket.push(item.clone());
        Ok(true)
    }

    pub(super) fn contains(&self, item: &Item<'a>, budget: &mut Budget) -> Result<bool, Stop> {
        let bucket = self.buckets.get(&key(item, budget)?);
        for other in bucket.into_iter().flatten() {
            if equal(item, other, budget)? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The same for items that are equal.
fn key(item: &Item<'_>, budget: &mut Budget) -> Result<u64, Stop> {
    budget.spend(1)?;
    let mut hasher = DefaultHasher::new();
    if let Item::Node(node) = item
        && let Some(Json::Object(_)) = node.json()
    {
        return deep_key(node, budget);
    }
    match item.value()? {
        Some(Value::Text(text)) => text.hash(&mut hasher),
        Some(Value::Bool(value)) => value.hash(&mut hasher),
        Some(Value::Moment(moment)) if moment.offset.is_none() && moment.known <= 3 => {
            moment.text().hash(&mut hasher);
        }
        Some(Value::Moment(moment)) => moment.hash_fields().hash(&mut hasher),
        Some(value) => decimal(&value).map(|d| d.normalized()).hash(&mut hasher),
        None => 0.hash(&mut hasher),
    }
    Ok(hasher.finish())
}

fn deep_key(node: &Node<'_>, budget: &mut Budget) -> Result<u64, Stop> {
    let mut sum = 0_u64;
    let mut open: Vec<&Json> = node.json().into_iter().collect();
    while let Some(json) = open.pop() {
        budget.spend(1)?;
        match json {
            Json::Object(object) => {
                open.extend(object.iter().map(|(_, value)| value));
                sum = sum.wrapping_add(1);
            }
            Json::Array(items) => open.extend(items),
            Json::String(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                sum = sum.wrapping_add(hasher.finish());
            }
            _ => {}
        }
    }
    Ok(sum)
}
