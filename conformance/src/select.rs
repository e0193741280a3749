//! JSON pointers in which `*` is any item: `/entry/*/resource/id`.

use serde_json::Value;

/// All values that the path leads to, in order.
pub(crate) fn select<'a>(json: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![json];
    for segment in path.split('/').skip(1) {
        found = found.into_iter().flat_map(|v| below(v, segment)).collect();
    }
    found
}

fn below<'a>(value: &'a Value, segment: &str) -> Vec<&'a Value> {
    match (value, segment) {
        (Value::Array(items), "*") => items.iter().collect(),
        (Value::Array(items), number) => {
            let number = number.parse::<usize>().ok();
            number.and_then(|n| items.get(n)).into_iter().collect()
        }
        (Value::Object(members), "*") => members.values().collect(),
        (Value::Object(members), name) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            members.get(&name).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Does the text fit a pattern in which `*` stands for anything?
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Equal, texts by pattern; `1` and `1.0` are equal here.
pub(crate) fn equals(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::String(pattern), Value::String(text)) => fits(pattern, text),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let json = json!({"entry": [{"id": "a", "n": [1, 2]}, {"id": "b"}], "x/y": 7});
        for (path, expected) in [
            ("/entry/*/id", json!(["a", "b"])),
            ("/entry/*/n/*", json!([1, 2])),
            ("/entry/1/id", json!(["b"])),
            ("/entry/2/id", json!([])),
            ("/x~1y", json!([7])),
            ("/nothing/*", json!([])),
        ] {
            let found: Value = select(&json, path).into_iter().cloned().collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn patterns() {
        let history = "*/Patient/*/_history/1";
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            (history, "http://h/Patient/7/_history/1", true),
            (history, "http://h/Patient/7/_history/2", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
