//! An answer, and what cases ask of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// One line for each name: a header may come in several, which mean a list (RFC 9110 5.3).
pub(super) fn joined(headers: &HeaderMap) -> HeaderMap {
    let mut all = HeaderMap::new();
    for name in headers.keys() {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|v| v.as_bytes()).collect();
        if let Ok(value) = HeaderValue::from_bytes(&lines.join(&b", "[..])) {
            all.insert(name, value);
        }
    }
    all
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// XML without the white space between its tags, so that all servers' look alike.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        if !self.header("content-type").contains("xml") {
            return text;
        }
        let parts: Vec<&str> = text
            .split('>')
            .map(|part| match part.trim_start() {
                trimmed if trimmed.starts_with('<') || trimmed.is_empty() => trimmed,
                _ => part,
            })
            .collect();
        parts.join(">").replace(" />", "/>")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default()
    }

    /// The URL of a Bundle's link.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let json = self.json();
        let mut links = json.get("link")?.as_array()?.iter();
        let link = links.find(|link| link.get("relation").is_some_and(|r| r == relation));
        Some(link?.get("url")?.as_str()?.to_owned())
    }

    /// Ids of a Bundle's entries with this search mode, in order; without a mode it is a match.
    pub(crate) fn ids(&self, wanted: &str) -> Vec<String> {
        let json = self.json();
        let entries = json.get("entry").and_then(Value::as_array);
        let is_wanted = |entry: &&Value| {
            let mode = entry.pointer("/search/mode").and_then(Value::as_str);
            mode.unwrap_or("match") == wanted
        };
        let id = |entry: &Value| Some(entry.pointer("/resource/id")?.as_str()?.to_owned());
        let entries = entries.into_iter().flatten();
        entries.filter(is_wanted).filter_map(id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_in_several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("vary", HeaderValue::from_static("Accept"));
        headers.append("vary", HeaderValue::from_static("Accept-Encoding"));
        headers.append("etag", HeaderValue::from_static("W/\"1\""));
        let all = joined(&headers);
        assert_eq!(all.get("vary").unwrap(), "Accept, Accept-Encoding");
        assert_eq!(all.get("etag").unwrap(), "W/\"1\"");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn xml_is_shown_on_one_line() {
        let reply = Reply {
            status: 200,
            headers: HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/fhir+xml"),
            )]),
            body: "<a>\n  <b value=\"x  > y\" />\n</a>\n".into(),
        };
        assert_eq!(reply.text(), "<a><b value=\"x  > y\"/></a>");
    }
}
