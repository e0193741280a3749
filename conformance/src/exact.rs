//! JSON with the text of its numbers: 1.00 and 1.0 differ, as they do in FHIR.
//! <https://hl7.org/fhir/R4/datatypes.html#decimal>

use serde_json::Value;

/// Stands before the text of a number; no FHIR string may hold it.
const MARK: char = '\u{1}';

/// The tree with each number as a marked text. Null when the text is no JSON.
pub(crate) fn parse(text: &str) -> Value {
    let mut marked = String::with_capacity(text.len() + 64);
    let (mut in_string, mut escaped, mut in_number) = (false, false, false);
    for c in text.chars() {
        let is_number = c.is_ascii_digit() || "+-.eE".contains(c);
        let starts = !in_string && !in_number && (c.is_ascii_digit() || c == '-');
        if starts {
            in_number = true;
            marked.push_str("\"\\u0001");
        } else if in_number && !is_number {
            in_number = false;
            marked.push('"');
        }
        match (in_string, c) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => escaped = true,
            (_, '"') => in_string = !in_string,
            _ => {}
        }
        marked.push(c);
    }
    serde_json::from_str(&marked).unwrap_or_default()
}

/// The text of a number in such a tree.
pub(crate) fn number(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix(MARK)
}

/// A resource without what a server may change: its id and its version's metadata.
pub(crate) fn content(mut resource: Value) -> Value {
    let Some(members) = resource.as_object_mut() else {
        return resource;
    };
    members.remove("id");
    let is_bare = match members.get_mut("meta").and_then(Value::as_object_mut) {
        Some(meta) => {
            for member in ["versionId", "lastUpdated", "source"] {
                meta.remove(member);
            }
            meta.is_empty()
        }
        None => false,
    };
    if is_bare {
        members.remove("meta");
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let tree = parse(r#"{"a":1.00,"b":[-2e+5, 7],"c":"3 \" 4","d":true,"e":null}"#);
        for (at, expected) in [
            ("/a", Some("1.00")),
            ("/b/0", Some("-2e+5")),
            ("/b/1", Some("7")),
            ("/c", None),
            ("/d", None),
        ] {
            assert_eq!(number(tree.pointer(at).unwrap()), expected, "{at}");
        }
        assert_eq!(tree.pointer("/c").unwrap(), "3 \" 4");
        assert_ne!(parse("[1.0]"), parse("[1.00]"));
        assert_eq!(parse("nonsense"), Value::Null);
    }

    #[test]
    fn content_is_what_the_client_sent() {
        let stored = parse(r#"{"id":"x","meta":{"versionId":"1","lastUpdated":"2026"},"a":1}"#);
        assert_eq!(content(stored), parse(r#"{"a":1}"#));
    }
}
