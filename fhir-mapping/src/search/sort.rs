//! `_sort`: keys as bytes whose order is the order of the answer (R4 3.1.1.5.1).

use super::SortKey;
use super::definitions::{Kind, Parameter};
use super::kinds::fold::fold;
use super::kinds::quantity;
use super::values::{SearchValues, Value};

/// One key of `_sort`.
#[derive(Clone, Debug)]
pub(super) struct SortBy {
    pub(super) index: u16,
    pub(super) descending: bool,
}

const PRESENT: u8 = 0;
const MISSING: u8 = 1;
/// Longer texts differ by resource number only: the key travels in page links.
const TEXT_BYTES_MAX: usize = 64;

pub(super) fn is_sortable(parameter: &Parameter) -> bool {
    !matches!(parameter.kind, Kind::Composite | Kind::Place | Kind::Sound)
}

/// The keys of all `_sort` parameters, one after the other.
pub(super) fn key(sort: &[SortBy], values: &SearchValues) -> SortKey {
    let mut bytes = Vec::new();
    for by in sort {
        // Of several values, the one that comes first in the asked order counts.
        let keys = values.of_index(by.index).iter().filter_map(order_bytes);
        let chosen = if by.descending {
            keys.max()
        } else {
            keys.min()
        };
        match chosen {
            None => bytes.push(MISSING),
            Some(key) => {
                bytes.push(PRESENT);
                let invert = if by.descending { u8::MAX } else { 0 };
                bytes.extend(key.iter().map(|b| b ^ invert));
            }
        }
    }
    SortKey(bytes)
}

/// What a key begins with whose first value is a date of that instant.
pub(super) fn date_key(micros: i64, descending: bool) -> Vec<u8> {
    let invert = if descending { u8::MAX } else { 0 };
    let bytes = (micros ^ i64::MIN).to_be_bytes();
    let bytes = bytes.iter().map(|byte| byte ^ invert);
    std::iter::once(PRESENT).chain(bytes).collect()
}

/// Bytes in the order of the values; none is the beginning of another.
fn order_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Text(text) => Some(terminated(fold(text).as_bytes())),
        Value::Uri(text) => Some(terminated(text.as_bytes())),
        Value::Token(token) => {
            let shown = token.code.as_ref().or(token.text.as_ref())?;
            Some(terminated(shown.as_bytes()))
        }
        Value::Reference(link) => Some(terminated(link.target.as_ref()?.as_bytes())),
        Value::Date(span) => Some((span.low ^ i64::MIN).to_be_bytes().to_vec()),
        Value::Amount(amount) => Some(terminated(&quantity::order_bytes(amount)?)),
        Value::Place(_) | Value::Composite(_) => None,
    }
}

/// Zero bytes escaped as `00 FF`, the end marked by `00 00`.
fn terminated(bytes: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(bytes.len() + 2);
    for byte in bytes.iter().take(TEXT_BYTES_MAX) {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xff);
        }
    }
    key.extend([0, 0]);
    key
}
