//! Bundles as text: stored bodies go in as they are, without being parsed.

use fhir_mapping::model::{Json, format};

/// A Bundle in the making.
pub(super) struct BundleText {
    text: Vec<u8>,
    is_empty: bool,
}

impl BundleText {
    /// `links` are relation and URL.
    pub(super) fn new(
        kind: &'static str,
        total: Option<u64>,
        links: &[(&'static str, String)],
    ) -> BundleText {
        let mut head = vec![
            ("resourceType", Json::from("Bundle")),
            ("type", kind.into()),
        ];
        head.extend(total.map(|total| ("total", total.into())));
        if !links.is_empty() {
            let links = links.iter().map(|(relation, url)| {
                Json::object([
                    ("relation", (*relation).into()),
                    ("url", url.as_str().into()),
                ])
            });
            head.push(("link", Json::array(links)));
        }
        let mut text = format(&Json::object(head)).into_bytes();
        text.pop(); // the closing brace: entries follow
        BundleText {
            text,
            is_empty: true,
        }
    }

    /// Adds an entry: `resource` is JSON text as stored (left out when empty), `rest` its other
    /// members, as `search`, `request` or `response`.
    pub(super) fn push(
        &mut self,
        full_url: Option<&str>,
        resource: &[u8],
        rest: &[(&'static str, Json)],
    ) {
        self.text.extend(if self.is_empty {
            &b",\"entry\":["[..]
        } else {
            b","
        });
        self.is_empty = false;
        let mut separator = b'{';
        let mut member = |text: &mut Vec<u8>, name: &str, value: &[u8]| {
            text.push(std::mem::replace(&mut separator, b','));
            text.push(b'"');
            text.extend(name.as_bytes());
            text.extend(b"\":");
            text.extend(value);
        };
        if let Some(url) = full_url {
            member(
                &mut self.text,
                "fullUrl",
                format(&Json::from(url)).as_bytes(),
            );
        }
        if !resource.is_empty() {
            member(&mut self.text, "resource", resource);
        }
        for (name, value) in rest {
            member(&mut self.text, name, format(value).as_bytes());
        }
        self.text.push(b'}');
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.is_empty {
            self.text.push(b']');
        }
        self.text.push(b'}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_joined_as_json() {
        let bundle = BundleText::new("searchset", Some(0), &[]).finish();
        assert_eq!(
            bundle,
            br#"{"resourceType":"Bundle","type":"searchset","total":0}"#
        );
        let mut bundle = BundleText::new("history", None, &[("self", "http://a/\"b".to_owned())]);
        let mode = Json::object([("mode", "match".into())]);
        bundle.push(
            Some("http://a/P/1"),
            br#"{"v":1.00}"#,
            &[("search", mode.clone())],
        );
        bundle.push(None, b"", &[("search", mode)]);
        let expected = concat!(
            r#"{"resourceType":"Bundle","type":"history","link":[{"relation":"self","url":"http://a/\"b"}],"#,
            r#""entry":[{"fullUrl":"http://a/P/1","resource":{"v":1.00},"search":{"mode":"match"}},"#,
            r#"{"search":{"mode":"match"}}]}"#
        );
        assert_eq!(String::from_utf8(bundle.finish()).unwrap(), expected);
    }
}
