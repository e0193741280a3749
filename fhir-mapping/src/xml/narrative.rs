//! A narrative's div on its way into XML (R4 2.4.1): as it is when it is sound XML, else as text, so
//! that one bad narrative never spoils the answer it stands in.

use super::XHTML;
use super::source::{Namespace, Source, Token};
use std::borrow::Cow;

/// The div as an element that may stand in an XML text.
pub(super) fn element(div: &str) -> Cow<'_, str> {
    let div = div.trim();
    match standing(div) {
        Some(Namespace::Xhtml) => Cow::Borrowed(div),
        Some(Namespace::None) => {
            let rest = div.strip_prefix("<div").unwrap_or_default();
            Cow::Owned(format!("<div xmlns=\"{XHTML}\"{rest}"))
        }
        _ => {
            let mut text = format!("<div xmlns=\"{XHTML}\">");
            super::format::escape(div, &mut text);
            text.push_str("</div>");
            Cow::Owned(text)
        }
    }
}

/// The namespace of a text that is one well-formed div and nothing else.
fn standing(div: &str) -> Option<Namespace> {
    let mut source = Source::new(div, 1);
    let Ok(Token::Open(tag)) = source.next() else {
        return None;
    };
    let whole = source.raw(&tag).ok()?;
    let is_all = whole.len() == div.len() && div.starts_with("<div");
    (is_all && tag.name == "div" && div.chars().all(super::format::is_allowed))
        .then_some(tag.namespace)
}
