//! Number and quantity parameters: exact decimals, compared with the precision of the request
//! (R4 3.1.1.4.7).

use super::date::Prefix;
use super::decimal::{Decimal, Written};
use super::escape::{split, unescape};
use super::sampled;
use crate::model::Json;
use crate::terminology::{measure, units};

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
    asked: Written,
    system: Option<String>,
    code: Option<String>,
}

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
    if value.get("origin").is_some() {
        return sampled::range(value).into_iter().for_each(found);
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

pub(super) fn amount_of(quantity: &Json) -> Amount {
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
            asked: Written::parse(number)?,
            system: filled(system),
            code: filled(code),
        })
    }

    /// Numbers whose own precision includes this one: `co` of filters.
    pub(in crate::search) fn included(text: &str) -> Option<QuantityTest> {
        Some(QuantityTest {
            prefix: Prefix::Co,
            asked: Written::parse(text)?,
            system: None,
            code: None,
        })
    }

    fn is_included_in(&self, amount: &Amount) -> bool {
        let asked = &self.asked.number;
        let end = |text: &Option<String>, holds: &dyn Fn((Decimal, Decimal)) -> bool| {
            let written = text.as_ref().map(|text| Written::parse(text));
            written.is_none_or(|written| written.is_some_and(|w| holds(w.rounded())))
        };
        let is_known = amount.low.is_some() || amount.high.is_some();
        is_known
            && end(&amount.low, &|(from, _)| from <= *asked)
            && end(&amount.high, &|(_, to)| *asked < to)
    }

    pub(in crate::search) fn matches(&self, amount: &Amount) -> bool {
        if self.prefix == Prefix::Co {
            return self.is_included_in(amount);
        }
        if self.system.is_some() && self.system != amount.system {
            return false;
        }
        let Some(code) = &self.code else {
            return self.compares(amount, &|number| Some(number));
        };
        let is_same = amount.code.as_ref() == Some(code)
            || (self.system.is_none() && amount.unit.as_ref() == Some(code));
        if is_same {
            return self.compares(amount, &|number| Some(number));
        }
        let Some(other) = amount.code.as_ref().filter(|_| self.is_ucum()) else {
            return false;
        };
        let Some(conversion) = measure::conversion(other, code) else {
            return false;
        };
        let converted = |number: Decimal| {
            let text = conversion.apply(&number.moderate()?)?;
            Decimal::parse(&text)
        };
        self.compares(amount, &converted)
    }

    fn is_ucum(&self) -> bool {
        self.system.as_deref() == Some(units::SYSTEM)
    }

    /// Compares what `convert` makes of the amount's ends; what cannot be converted never matches.
    fn compares(&self, amount: &Amount, convert: &dyn Fn(Decimal) -> Option<Decimal>) -> bool {
        let end = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => Decimal::parse(text).and_then(convert).map(Some),
        };
        let (Some(low), Some(high)) = (end(&amount.low), end(&amount.high)) else {
            return false;
        };
        if low.is_none() && high.is_none() {
            return false;
        }
        let asked = &self.asked.number;
        let above = high.as_ref().is_none_or(|high| high > asked);
        let below = low.as_ref().is_none_or(|low| low < asked);
        let within = |(from, to): (Decimal, Decimal)| {
            low.as_ref().is_some_and(|low| *low >= from)
                && high.as_ref().is_some_and(|high| *high < to)
        };
        match self.prefix {
            Prefix::Eq | Prefix::Po | Prefix::Co => within(self.asked.rounded()),
            Prefix::Ne => !within(self.asked.rounded()),
            Prefix::Gt => above,
            Prefix::Lt => below,
            Prefix::Ge => above || high.as_ref() == Some(asked),
            Prefix::Le => below || low.as_ref() == Some(asked),
            Prefix::Sa => low.as_ref().is_some_and(|low| low > asked),
            Prefix::Eb => high.as_ref().is_some_and(|high| high < asked),
            Prefix::Ap => within(self.asked.approximate()),
        }
    }
}

pub(in crate::search) fn order_bytes(amount: &Amount) -> Option<Vec<u8>> {
    let number = Decimal::parse(amount.low.as_deref().or(amount.high.as_deref())?)?;
    Some(number.order_bytes())
}
