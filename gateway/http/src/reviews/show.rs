//! FHIR values as people read them. Everything is text: nothing a resource holds becomes markup.

use fhir_mapping::model::{Json, Object};
use maud::{Markup, html};

/// One value: a line where a line says it all, a list of its parts otherwise.
pub(super) fn value(value: &Json) -> Markup {
    if let Some(line) = line(value) {
        return html! { (line) };
    }
    match value {
        Json::Array(items) => html! {
            ul { @for item in items { li { (self::value(item)) } } }
        },
        Json::Object(pairs) => html! {
            dl { @for (name, item) in pairs.iter() { dt { (words(name)) } dd { (self::value(item)) } } }
        },
        _ => html! {},
    }
}

/// `dosageInstruction` -> `dosage instruction`
pub(super) fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// A person's name as it is said.
pub(super) fn person_name(name: &Json) -> String {
    if let Some(text) = name.get("text").and_then(Json::as_str) {
        return text.to_owned();
    }
    let given = name.items("given").iter().filter_map(Json::as_str);
    let family = name.get("family").and_then(Json::as_str);
    given.chain(family).collect::<Vec<_>>().join(" ")
}

fn line(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::new()),
        Json::Bool(true) => Some("yes".to_owned()),
        Json::Bool(false) => Some("no".to_owned()),
        Json::Number(text) => Some(text.to_string()),
        Json::String(text) => Some(text.clone()),
        Json::Array(items) => match items.as_slice() {
            [one] => line(one),
            _ => None,
        },
        Json::Object(pairs) => object_line(pairs),
    }
}

fn object_line(pairs: &Object) -> Option<String> {
    let keys: Vec<&str> = pairs.keys().collect();
    let only = |known: &[&str]| keys.iter().all(|key| known.contains(key));
    let text = |key: &str| pairs.get(key).and_then(scalar).unwrap_or_default();
    if pairs.len() == 1 {
        return pairs.iter().next().and_then(|(_, value)| line(value));
    }
    if only(&["coding", "text"]) {
        return Some(concept(pairs));
    }
    if only(&["system", "code", "display", "version", "userSelected"]) && !text("code").is_empty() {
        return Some(coding(pairs));
    }
    if only(&["value", "comparator", "unit", "system", "code"]) && pairs.get("value").is_some() {
        let unit = if text("unit").is_empty() {
            text("code")
        } else {
            text("unit")
        };
        return Some(
            format!("{}{} {unit}", text("comparator"), text("value"))
                .trim()
                .to_owned(),
        );
    }
    if only(&["reference", "display", "type"]) {
        return Some(format!("{} ({})", text("display"), text("reference")));
    }
    if only(&["start", "end"]) {
        return Some(format!("{} to {}", text("start"), text("end")));
    }
    None
}

fn concept(pairs: &Object) -> String {
    let codings = pairs
        .get("coding")
        .and_then(Json::as_array)
        .unwrap_or_default();
    let codings: Vec<String> = codings
        .iter()
        .filter_map(Json::as_object)
        .map(coding)
        .collect();
    match pairs.get("text").and_then(Json::as_str) {
        Some(text) if codings.is_empty() => text.to_owned(),
        Some(text) => format!("{text} [{}]", codings.join(", ")),
        None => codings.join(", "),
    }
}

fn coding(pairs: &Object) -> String {
    let text = |key: &str| pairs.get(key).and_then(scalar).unwrap_or_default();
    match text("display") {
        display if display.is_empty() => text("code"),
        display => format!("{display} ({})", text("code")),
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(text) => Some(text.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};

    #[test]
    fn values_read_like_sentences() {
        let cases = [
            (
                "{'value':500,'unit':'mg','system':'u','code':'mg'}",
                "500 mg",
            ),
            ("{'value':1.50,'comparator':'<','unit':'g'}", "&lt;1.50 g"),
            ("{'coding':[{'system':'s','code':'active'}]}", "active"),
            (
                "{'coding':[{'code':'a','display':'A'}],'text':'T'}",
                "T [A (a)]",
            ),
            (
                "{'reference':'Patient/1','display':'<script>'}",
                "&lt;script&gt; (Patient/1)",
            ),
            (
                "{'start':'2026-01-01','end':'2026-02-01'}",
                "2026-01-01 to 2026-02-01",
            ),
            ("[{'text':'2 daily'}]", "2 daily"),
            ("['a','b']", "<ul><li>a</li><li>b</li></ul>"),
            (
                "{'text':'x','doNotPerform':true}",
                "<dl><dt>text</dt><dd>x</dd><dt>do not perform</dt><dd>yes</dd></dl>",
            ),
        ];
        for (text, expected) in cases {
            let json = parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap();
            assert_eq!(value(&json).into_string(), expected, "{text}");
        }
    }
}
