//! The operators (N1 6): logic of three values, sums, comparisons, membership.

use super::evaluate::{Items, Local, Run};
use super::expression::{Expr, Operator};
use super::item::{Item, Value, truth};
use super::moment::Moment;
use super::number::{self, Quantity};
use super::{Stop, compare};
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use std::cmp::Ordering;

/// Evaluates both sides and joins them. Logic looks at the right side only when it decides.
pub(super) fn apply<'a>(
    run: &mut Run<'a, '_>,
    operator: Operator,
    sides: (&'a Expr, &'a Expr),
    local: Local<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let left = run.eval(sides.0, local)?;
    if let Operator::And | Operator::Or | Operator::Xor | Operator::Implies = operator {
        return logic(run, (operator, &left), sides.1, local);
    }
    let right = run.eval(sides.1, local)?;
    match operator {
        Operator::Union => super::functions::union(run, left, right),
        Operator::Equal | Operator::NotEqual => {
            let equal = equal(run, &left, &right)?;
            let wanted = operator == Operator::Equal;
            Ok(equal.map(|e| Item::bool(e == wanted)).into_iter().collect())
        }
        Operator::Equivalent | Operator::NotEquivalent => {
            let equivalent = equivalent(run, &left, &right)?;
            let wanted = operator == Operator::Equivalent;
            Ok(vec![Item::bool(equivalent == wanted)])
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            ordered(operator, &left, &right)
        }
        Operator::In => member_of(run, &left, &right, "in"),
        Operator::Contains => member_of(run, &right, &left, "contains"),
        Operator::Join => join(&left, &right),
        _ => arithmetic(operator, &left, &right),
    }
}

fn logic<'a>(
    run: &mut Run<'a, '_>,
    left: (Operator, &[Item<'a>]),
    right: &'a Expr,
    local: Local<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let operator = left.0;
    let left = truth(left.1, "a logical operator")?;
    let decided = match (operator, left) {
        (Operator::And, Some(false)) => Some(false),
        (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => Some(true),
        _ => None,
    };
    if let Some(decided) = decided {
        return Ok(vec![Item::bool(decided)]);
    }
    let right = run.eval(right, local)?;
    let right = truth(&right, "a logical operator")?;
    let result = match operator {
        Operator::And => match (left, right) {
            (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Operator::Or => match (left, right) {
            (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Operator::Implies => match (left, right) {
            (_, Some(true)) => Some(true),
            (Some(true), Some(false)) => Some(false),
            _ => None,
        },
        _ => left.zip(right).map(|(left, right)| left != right),
    };
    Ok(result.map(Item::bool).into_iter().collect())
}

fn equal<'a>(
    run: &mut Run<'a, '_>,
    left: &[Item<'a>],
    right: &[Item<'a>],
) -> Result<Option<bool>, Stop> {
    if left.is_empty() || right.is_empty() {
        return Ok(None);
    }
    if left.len() != right.len() {
        return Ok(Some(false));
    }
    let mut all = Some(true);
    for (one, two) in left.iter().zip(right) {
        match compare::equal(one, two, run.budget)? {
            Some(false) => return Ok(Some(false)),
            Some(true) => {}
            None => all = None,
        }
    }
    Ok(all)
}

fn equivalent<'a>(
    run: &mut Run<'a, '_>,
    left: &[Item<'a>],
    right: &[Item<'a>],
) -> Result<bool, Stop> {
    if left.len() != right.len() {
        return Ok(false);
    }
    let mut rest: Vec<&Item<'a>> = right.iter().collect();
    for one in left {
        let mut at = None;
        for (index, two) in rest.iter().enumerate() {
            if compare::equivalent(one, two, run.budget)? {
                at = Some(index);
                break;
            }
        }
        match at {
            Some(index) => rest.swap_remove(index),
            None => return Ok(false),
        };
    }
    Ok(true)
}

fn ordered<'a>(
    operator: Operator,
    left: &[Item<'a>],
    right: &[Item<'a>],
) -> Result<Items<'a>, Stop> {
    let (Some(one), Some(two)) = (
        single(left, "a comparison")?,
        single(right, "a comparison")?,
    ) else {
        return Ok(Vec::new());
    };
    let holds = |order: Ordering| match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    };
    let order = compare::order(one, two)?;
    Ok(order.map(|o| Item::bool(holds(o))).into_iter().collect())
}

/// The item of a collection of one; `None` of none.
pub(super) fn single<'i, 'a>(
    items: &'i [Item<'a>],
    who: &'static str,
) -> Result<Option<&'i Item<'a>>, Stop> {
    match items {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Stop::Several(who)),
    }
}

fn member_of<'a>(
    run: &mut Run<'a, '_>,
    one: &[Item<'a>],
    all: &[Item<'a>],
    who: &'static str,
) -> Result<Items<'a>, Stop> {
    let Some(one) = single(one, who)? else {
        return Ok(Vec::new());
    };
    for other in all {
        if compare::equal(one, other, run.budget)? == Some(true) {
            return Ok(vec![Item::bool(true)]);
        }
    }
    Ok(vec![Item::bool(false)])
}

/// `&`: empty is the empty text.
fn join<'a>(left: &[Item<'a>], right: &[Item<'a>]) -> Result<Items<'a>, Stop> {
    let text = |items: &[Item<'a>]| match single(items, "&")? {
        None => Ok(String::new()),
        Some(item) => match item.value()? {
            Some(Value::Text(text)) => Ok(text.into_owned()),
            Some(Value::Moment(moment)) => Ok(moment.text()),
            _ => Err(Stop::Type("&")),
        },
    };
    Ok(vec![Item::text(text(left)? + &text(right)?)])
}

/// A number or quantity with the other sign.
pub(super) fn negate(items: Items<'_>) -> Result<Items<'_>, Stop> {
    let Some(item) = single(&items, "a sign")? else {
        return Ok(items);
    };
    let value = match item.value()? {
        Some(Value::Integer(whole)) => Value::Integer(whole.checked_neg().ok_or(Stop::Number)?),
        Some(Value::Decimal(decimal)) => Value::Decimal(-decimal),
        Some(Value::Quantity(quantity)) => Value::Quantity(Quantity {
            value: -quantity.value,
            unit: quantity.unit,
        }),
        _ => return Err(Stop::Type("a sign")),
    };
    Ok(vec![Item::Value(value)])
}

fn arithmetic<'a>(
    operator: Operator,
    left: &[Item<'a>],
    right: &[Item<'a>],
) -> Result<Items<'a>, Stop> {
    let who = "an arithmetic operator";
    let (Some(left), Some(right)) = (single(left, who)?, single(right, who)?) else {
        return Ok(Vec::new());
    };
    let (Some(left), Some(right)) = (left.value()?, right.value()?) else {
        return Err(Stop::Type(who));
    };
    let result = match (&left, &right) {
        (Value::Integer(one), Value::Integer(two)) if operator != Operator::Divide => {
            whole(operator, *one, *two)
        }
        (Value::Text(one), Value::Text(two)) if operator == Operator::Add => {
            Some(Value::Text(format!("{one}{two}").into()))
        }
        (Value::Moment(moment), Value::Quantity(quantity)) => {
            moved(operator, moment, quantity)?.map(Value::Moment)
        }
        (Value::Quantity(_), _) | (_, Value::Quantity(_)) => {
            match (as_quantity(&left), as_quantity(&right)) {
                (Some(one), Some(two)) => quantities(operator, &one, &two)?,
                _ => return Err(Stop::Type(who)),
            }
        }
        _ => match (compare::decimal(&left), compare::decimal(&right)) {
            (Some(one), Some(two)) => decimal_result(operator, &one, &two)?,
            _ => return Err(Stop::Type(who)),
        },
    };
    Ok(result.map(Item::Value).into_iter().collect())
}

fn whole<'a>(operator: Operator, one: i64, two: i64) -> Option<Value<'a>> {
    let result = match operator {
        Operator::Add => one.checked_add(two),
        Operator::Subtract => one.checked_sub(two),
        Operator::Times => one.checked_mul(two),
        Operator::Div => one.checked_div(two),
        Operator::Mod => one.checked_rem(two),
        _ => None,
    };
    result.map(Value::Integer)
}

fn decimal_result<'a>(
    operator: Operator,
    one: &BigDecimal,
    two: &BigDecimal,
) -> Result<Option<Value<'a>>, Stop> {
    let result = decimals(operator, one, two)?;
    Ok(result.map(|value| match operator {
        Operator::Div => value.to_i64().map_or(Value::Decimal(value), Value::Integer),
        _ => Value::Decimal(value),
    }))
}

/// Division by zero is empty; a quotient has 18 digits at most behind the point.
fn decimals(
    operator: Operator,
    one: &BigDecimal,
    two: &BigDecimal,
) -> Result<Option<BigDecimal>, Stop> {
    let result = match operator {
        Operator::Add => one + two,
        Operator::Subtract => one - two,
        Operator::Times => one * two,
        _ if two.is_zero() => return Ok(None),
        Operator::Divide => {
            let quotient = (one / two).with_scale_round(18, RoundingMode::HalfUp);
            quotient.normalized()
        }
        Operator::Div => (one / two).with_scale_round(0, RoundingMode::Down),
        _ => one % two,
    };
    number::bounded(result).map(Some).ok_or(Stop::Number)
}

fn as_quantity(value: &Value<'_>) -> Option<Quantity> {
    match value {
        Value::Quantity(quantity) => Some(quantity.clone()),
        number => compare::decimal(number).map(Quantity::plain),
    }
}

/// Empty where the units measure different things.
fn quantities<'a>(
    operator: Operator,
    one: &Quantity,
    two: &Quantity,
) -> Result<Option<Value<'a>>, Stop> {
    let sign = match operator {
        Operator::Add => return Ok(one.plus(two).map(Value::Quantity)),
        Operator::Subtract => {
            let less = Quantity {
                value: -two.value.clone(),
                unit: two.unit.clone(),
            };
            return Ok(one.plus(&less).map(Value::Quantity));
        }
        Operator::Times => '.',
        Operator::Divide => '/',
        _ => return Err(Stop::Type("div or mod")),
    };
    let value = decimals(operator, &one.value, &two.value)?;
    let unit = one.joined_unit(sign, two);
    Ok(value.map(|value| Value::Quantity(Quantity { value, unit })))
}

fn moved(operator: Operator, moment: &Moment, by: &Quantity) -> Result<Option<Moment>, Stop> {
    let unit = match by.unit.as_str() {
        "a" | "mo" => return Err(Stop::Type("date arithmetic")),
        "wk" => "weeks",
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        word => number::calendar_unit(word).ok_or(Stop::Type("date arithmetic"))?,
    };
    let count = by.value.with_scale_round(0, RoundingMode::Down).to_i64();
    let count = count.ok_or(Stop::Number)?;
    let count = match operator {
        Operator::Add => count,
        Operator::Subtract => count.checked_neg().ok_or(Stop::Number)?,
        _ => return Err(Stop::Type("date arithmetic")),
    };
    Ok(moment.plus(count, unit))
}
