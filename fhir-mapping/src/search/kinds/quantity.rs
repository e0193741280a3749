//! Number and quantity parameters: exact decimals, compared with the precision of the request
//! (R4 3.1.1.4.7).

use super::date::Prefix;
use super::escape::{split, unescape};
use crate::model::Json;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, Zero};
use std::str::FromStr;

/// A number or a range of numbers with its unit. An open end is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::search) struct Amount {
    pub(in crate::search) low: Option<String>,
    pub(in crate::search) high: Option<String>,
    pub(in crate::search) system: Option<String>,
    pub(in crate::search) code: Option<String>,
    pub(in crate::search) unit: Option<String>,
}

/// What a request asks of an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct QuantityTest {
    prefix: Prefix,
    asked: BigDecimal,
    system: Option<String>,
    code: Option<String>,
}

/// Exponents beyond this are no measurement, and would make comparing slow.
const EXPONENT_MAX: i64 = 400;
const CURRENCIES: &str = "urn:iso:std:iso:4217";

pub(in crate::search) fn collect(value: &Json, found: &mut dyn FnMut(Amount)) {
    if let Some(number) = value.as_number() {
        let text = Some(number.to_owned());
        return found(Amount {
            low: text.clone(),
            high: text,
            ..Amount::default()
        });
    }
    let (low, high) = (value.get("low"), value.get("high"));
    if low.is_some() || high.is_some() {
        let number = |end: Option<&Json>| Some(end?.get("value")?.as_number()?.to_owned());
        let unit = low.or(high).map(amount_of).unwrap_or_default();
        return found(Amount {
            low: number(low),
            high: number(high),
            ..unit
        });
    }
    if value.get("value").is_some() {
        found(amount_of(value));
    }
}

fn amount_of(quantity: &Json) -> Amount {
    let text = |key| quantity.get(key).and_then(Json::as_str).map(str::to_owned);
    let number = quantity
        .get("value")
        .and_then(Json::as_number)
        .map(str::to_owned);
    let currency = text("currency");
    let (low, high) = match text("comparator").as_deref() {
        Some("<" | "<=") => (None, number),
        Some(">" | ">=") => (number, None),
        _ => (number.clone(), number),
    };
    Amount {
        low,
        high,
        system: text("system").or_else(|| currency.as_ref().map(|_| CURRENCIES.to_owned())),
        code: text("code").or(currency),
        unit: text("unit"),
    }
}

impl QuantityTest {
    /// `[prefix]number[|system|code]`.
    pub(in crate::search) fn parse(text: &str) -> Option<QuantityTest> {
        let (prefix, text) = Prefix::split(text);
        let parts = split(text, '|');
        let (number, system, code) = match parts.as_slice() {
            [number] => (number, "", ""),
            [number, system, code] => (number, *system, *code),
            _ => return None,
        };
        let filled = |text: &str| (!text.is_empty()).then(|| unescape(text));
        Some(QuantityTest {
            prefix,
            asked: decimal(number)?,
            system: filled(system),
            code: filled(code),
        })
    }

    pub(in crate::search) fn matches(&self, amount: &Amount) -> bool {
        let unit = |asked: &String| {
            amount.code.as_ref() == Some(asked)
                || (self.system.is_none() && amount.unit.as_ref() == Some(asked))
        };
        let same_system = self.system.is_none() || self.system == amount.system;
        same_system && self.code.as_ref().is_none_or(unit) && self.compares(amount)
    }

    fn compares(&self, amount: &Amount) -> bool {
        let end = |text: &Option<String>| text.as_deref().and_then(decimal);
        let (low, high) = (end(&amount.low), end(&amount.high));
        if low.is_none() && high.is_none() {
            return false;
        }
        let asked = &self.asked;
        let above = high.as_ref().is_none_or(|high| high > asked);
        let below = low.as_ref().is_none_or(|low| low < asked);
        let within = |half: BigDecimal| {
            let (from, to) = (asked - &half, asked + &half);
            low.as_ref().is_some_and(|low| *low >= from)
                && high
                    .as_ref()
                    .is_some_and(|high| *high < to || (half.is_zero() && *high == to))
        };
        match self.prefix {
            Prefix::Eq | Prefix::Po => within(half_unit(asked)),
            Prefix::Ne => !within(half_unit(asked)),
            Prefix::Gt => above,
            Prefix::Lt => below,
            Prefix::Ge => above || high.as_ref() == Some(asked),
            Prefix::Le => below || low.as_ref() == Some(asked),
            Prefix::Sa => low.as_ref().is_some_and(|low| low > asked),
            Prefix::Eb => high.as_ref().is_some_and(|high| high < asked),
            Prefix::Ap => within((asked.abs() / 10_u32).max(half_unit(asked))),
        }
    }
}

/// `None` for what is no decimal of a measurable size.
fn decimal(text: &str) -> Option<BigDecimal> {
    if text.len() > 64 {
        return None;
    }
    let number = BigDecimal::from_str(text).ok()?;
    let (_, scale) = number.as_bigint_and_exponent();
    (-EXPONENT_MAX..=EXPONENT_MAX)
        .contains(&scale)
        .then_some(number)
}

/// Half a unit of the last digit that was written: 0.5 for `100`, 0.005 for `5.40`.
fn half_unit(number: &BigDecimal) -> BigDecimal {
    let (_, scale) = number.as_bigint_and_exponent();
    BigDecimal::new(BigInt::from(5), scale + 1)
}

/// Bytes in the order of the numbers: sign, exponent, digits; all inverted below zero.
pub(in crate::search) fn order_bytes(amount: &Amount) -> Option<Vec<u8>> {
    let number = decimal(amount.low.as_deref().or(amount.high.as_deref())?)?;
    if number.is_zero() {
        return Some(vec![1]);
    }
    let (integer, scale) = number.normalized().as_bigint_and_exponent();
    let digits = integer.magnitude().to_string();
    let exponent = i64::try_from(digits.len()).ok()? - scale;
    let exponent = u16::try_from(exponent + 4 * EXPONENT_MAX).ok()?;
    let mut bytes = exponent.to_be_bytes().to_vec();
    bytes.extend(digits.bytes());
    let negative = integer.sign() == Sign::Minus;
    if negative {
        bytes.push(0);
        bytes.iter_mut().for_each(|b| *b = !*b);
    }
    bytes.insert(0, if negative { 0 } else { 2 });
    Some(bytes)
}
