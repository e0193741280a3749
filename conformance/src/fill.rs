//! Puts kept values into a case: `${name}`, `${times:5:text}` and `${enc:name}`.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Values by name: `run`, `tag`, `base`, the ids of what was made, and what steps kept.
pub(crate) type Kept = BTreeMap<String, String>;

/// Longest text that `${times:...}` may make.
const TIMES_BYTES_MAX: usize = 8 << 20;

pub(crate) fn fill(value: &Value, kept: &Kept) -> Value {
    match value {
        Value::String(text) => Value::String(fill_text(text, kept)),
        Value::Array(items) => items.iter().map(|item| fill(item, kept)).collect(),
        Value::Object(members) => Value::Object(fill_members(members, kept)),
        other => other.clone(),
    }
}

pub(crate) fn fill_members(members: &Map<String, Value>, kept: &Kept) -> Map<String, Value> {
    members
        .iter()
        .map(|(key, item)| (fill_text(key, kept), fill(item, kept)))
        .collect()
}

/// Names that nobody kept stay as they are, so that a failure shows them.
pub(crate) fn fill_text(text: &str, kept: &Kept) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push_str("${");
            rest = after;
            continue;
        };
        match value(name, kept) {
            Some(value) => filled.push_str(&value),
            None => filled.push_str(&format!("${{{name}}}")),
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

fn value(name: &str, kept: &Kept) -> Option<String> {
    if let Some(times) = name.strip_prefix("times:") {
        let (count, text) = times.split_once(':')?;
        let count: usize = count.parse().ok()?;
        return (count.saturating_mul(text.len()) <= TIMES_BYTES_MAX).then(|| text.repeat(count));
    }
    if let Some(name) = name.strip_prefix("enc:") {
        let value = kept.get(name)?;
        return Some(utf8_percent_encode(value, NON_ALPHANUMERIC).to_string());
    }
    kept.get(name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kept_values_are_put_in_everywhere() {
        let kept = Kept::from([
            ("run".to_owned(), "r7".to_owned()),
            ("at".to_owned(), "12:00+01".to_owned()),
        ]);
        for (step, expected) in [
            (
                json!({"send": "GET Patient/${run}", "is": {"/${run}": ["${run}", 1]}}),
                json!({"send": "GET Patient/r7", "is": {"/r7": ["r7", 1]}}),
            ),
            (json!("${times:3:ab}"), json!("ababab")),
            (json!("${enc:at}"), json!("12%3A00%2B01")),
            (json!("${nobody} ${"), json!("${nobody} ${")),
        ] {
            assert_eq!(fill(&step, &kept), expected);
        }
    }
}
