//! Makes the request of a step: target, headers, body in the form that the step gives it.

use crate::wire::Sent;
use crate::wire::coding::packed;
use serde_json::{Map, Value, json};

/// The system of the tag that everything made by these cases bears.
pub(crate) const TAG_SYSTEM: &str = "urn:conformance";

const JSON: &str = "application/fhir+json";

/// The filled step as a request. `tag` is put on resources in `body`.
pub(crate) fn request(step: &Map<String, Value>, tag: &str) -> Result<Sent, String> {
    let send = step.get("send").and_then(Value::as_str).unwrap_or_default();
    let (method, target) = send.split_once(' ').unwrap_or((send, ""));
    let is_tagged = step.get("tag") != Some(&Value::Bool(false));
    let (body, kind) = body(step, is_tagged.then_some(tag))?;
    let mut headers = given_headers(step);
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() && !headers.iter().any(|(given, _)| given == name) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    };
    add("accept", JSON);
    add("content-type", kind);
    if ["POST", "PUT", "PATCH"].contains(&method) && step.get("prefer") != Some(&Value::Null) {
        add("prefer", "return=representation");
    }
    let body = match step.get("packed").and_then(Value::as_str) {
        Some(coding) => {
            add("content-encoding", coding);
            packed(coding, &body)?
        }
        None => body,
    };
    // An empty header in a case means: do not send it.
    headers.retain(|(_, value)| !value.is_empty());
    Ok(Sent {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: body.into(),
    })
}

fn given_headers(step: &Map<String, Value>) -> Vec<(String, String)> {
    let pairs = step.get("headers").and_then(Value::as_object);
    pairs
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The body and its content type.
fn body(step: &Map<String, Value>, tag: Option<&str>) -> Result<(Vec<u8>, &'static str), String> {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    if let Some(body) = step.get("body") {
        let mut body = body.clone();
        if let Some(tag) = tag {
            put_tag(&mut body, tag);
        }
        return Ok((body.to_string().into_bytes(), JSON));
    }
    if let Some(plain) = text("text") {
        return Ok((plain.as_bytes().to_vec(), JSON));
    }
    if let Some(xml) = text("xml") {
        return Ok((xml.as_bytes().to_vec(), "application/fhir+xml"));
    }
    if let Some(form) = text("form") {
        return Ok((
            form.as_bytes().to_vec(),
            "application/x-www-form-urlencoded",
        ));
    }
    if let Some(hex) = text("hex") {
        let bytes = bytes_of(hex).ok_or("`hex` must be pairs of digits")?;
        return Ok((bytes, JSON));
    }
    if let Some(pieces) = step.get("repeat") {
        let bytes = repeated(pieces).ok_or("`repeat` is [text, times, text, ...]")?;
        return Ok((bytes.into_bytes(), JSON));
    }
    Ok((Vec::new(), ""))
}

/// Tags a resource, or each resource of a batch or transaction.
pub(crate) fn put_tag(body: &mut Value, tag: &str) {
    let kind = body.get("resourceType").and_then(Value::as_str);
    match kind.unwrap_or_default() {
        "Bundle"
            if body
                .get("type")
                .is_some_and(|t| t == "batch" || t == "transaction") =>
        {
            let entries = body.get_mut("entry").and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                if let Some(resource) = entry.get_mut("resource") {
                    put_tag(resource, tag);
                }
            }
        }
        "" | "Parameters" | "OperationOutcome" | "Binary" => {}
        _ => {
            let tag = json!({"system": TAG_SYSTEM, "code": tag});
            let Some(members) = body.as_object_mut() else {
                return;
            };
            let meta = members.entry("meta").or_insert_with(|| json!({}));
            let Some(meta) = meta.as_object_mut() else {
                return;
            };
            let tags = meta.entry("tag").or_insert_with(|| json!([]));
            if let Some(tags) = tags.as_array_mut() {
                tags.push(tag);
            }
        }
    }
}

/// The same for a resource given as text, whose numbers must keep theirs.
pub(crate) fn text_with_tag(text: &str, tag: &str) -> String {
    let meta = json!({"tag": [{"system": TAG_SYSTEM, "code": tag}]});
    match text.split_once('{') {
        Some((before, after)) if !text.contains("\"meta\"") => {
            format!("{before}{{\"meta\":{meta},{after}")
        }
        _ => text.to_owned(),
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16)?).ok())
        .collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high * 16 + low),
            _ => None,
        })
        .collect()
}

/// `["[", 100000, "]", 100000]`: each text so many times.
fn repeated(pieces: &Value) -> Option<String> {
    let mut body = String::new();
    for pair in pieces.as_array()?.chunks(2) {
        let [text, times] = pair else { return None };
        let times = usize::try_from(times.as_u64()?).ok()?;
        body.push_str(&text.as_str()?.repeat(times));
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_step_says() {
        let step = json!({"send": "PUT Patient/1", "headers": {"accept": "", "if-match": "x"},
            "body": {"resourceType": "Patient"}});
        let sent = request(step.as_object().unwrap(), "t").unwrap();
        assert_eq!(sent.target, "Patient/1");
        let headers: Vec<String> = sent
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}"))
            .collect();
        assert_eq!(
            headers,
            [
                "if-match: x",
                "content-type: application/fhir+json",
                "prefer: return=representation"
            ]
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&sent.body).unwrap(),
            json!({"resourceType": "Patient",
                "meta": {"tag": [{"system": "urn:conformance", "code": "t"}]}})
        );
    }

    #[test]
    fn bodies_of_other_forms() {
        for (step, expected) in [
            (json!({"repeat": ["[", 2, "]", 1]}), b"[[]".to_vec()),
            (json!({"hex": "c3 28"}), vec![0xc3, 0x28]),
            (json!({"form": "a=b"}), b"a=b".to_vec()),
            (json!({}), Vec::new()),
        ] {
            assert_eq!(body(step.as_object().unwrap(), None).unwrap().0, expected);
        }
        assert!(body(json!({"hex": "c"}).as_object().unwrap(), None).is_err());
    }
}
