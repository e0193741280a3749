//! Narrative XHTML (R4 2.1.0.5 rules txt-1, txt-2): one `<div>` of plain formatting, nothing active.
//! A lean scan, not an XML parser: it must make the text harmless to show, tags need not balance.

/// What is wrong with a narrative; `None` when it may be shown.
pub(crate) fn fault(text: &str) -> Option<&'static str> {
    scan(text).err()
}

/// HTML 4.0 chapters 7 to 11 (without 9.4) and 15, links, images and image maps.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "acronym",
    "address",
    "area",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "map",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

/// Schemes a link or image may have; a relative address needs none.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel", "urn", "data", "ftp"];

fn scan(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    let opened = text.strip_prefix("<div");
    if !opened.is_some_and(|t| t.starts_with([' ', '>', '/', '\t', '\r', '\n'])) {
        return Err("must start with <div");
    }
    if !(text.ends_with("</div>") || text.ends_with("/>")) {
        return Err("must end with </div>");
    }
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('<') {
        rest = match tail.strip_prefix("!--") {
            Some(comment) => comment.split_once("-->").ok_or("has an open comment")?.1,
            None => tag(tail)?,
        };
    }
    Ok(())
}

/// Checks a tag from behind its `<` and gives the text behind its `>`.
fn tag(text: &str) -> Result<&str, &'static str> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let (name, mut rest) = split_name(text);
    if ELEMENTS.binary_search(&name).is_err() {
        return Err("has an element that narratives may not have");
    }
    loop {
        rest = rest.trim_start_matches(['/', ' ', '\t', '\r', '\n']);
        if let Some(behind) = rest.strip_prefix('>') {
            return Ok(behind);
        }
        rest = attribute(rest)?;
    }
}

fn attribute(text: &str) -> Result<&str, &'static str> {
    let (name, rest) = split_name(text);
    if name.is_empty() {
        return Err("has an open tag");
    }
    if name
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("on"))
    {
        return Err("has an event handler");
    }
    let malformed = "has an attribute without a quoted value";
    let rest = rest.trim_start().strip_prefix('=').ok_or(malformed)?;
    let mut quoted = rest.trim_start().chars();
    let quote = quoted
        .next()
        .filter(|c| matches!(c, '"' | '\''))
        .ok_or(malformed)?;
    let (value, rest) = quoted.as_str().split_once(quote).ok_or(malformed)?;
    if matches!(name, "href" | "src" | "background" | "longdesc") && !is_safe_address(value) {
        return Err("has an address of a kind that narratives may not have");
    }
    Ok(rest)
}

fn split_name(text: &str) -> (&str, &str) {
    let stop = |c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '<' | '"' | '\'');
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// No scheme, or a known one. An entity before the scheme's end could spell anything.
fn is_safe_address(address: &str) -> bool {
    let address = address.trim();
    let head_end = address.find([':', '/', '?', '#']).unwrap_or(address.len());
    let (head, rest) = address.split_at(head_end);
    if head.contains('&') {
        return false;
    }
    !rest.starts_with(':') || SCHEMES.contains(&head.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_names_are_sorted() {
        assert!(ELEMENTS.is_sorted());
    }

    #[test]
    fn sound_and_unsound() {
        let cases: &[(&str, Option<&str>)] = &[
            (
                "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &lt; b</p></div>",
                None,
            ),
            (
                "<div><!-- <script> --><br/><a href='#x' name=\"y\">z</a></div>",
                None,
            ),
            (
                "<div><img src=\"data:image/png;base64,AA==\" alt=\"a > b\"/></div>",
                None,
            ),
            ("<div><a href=\"?x=1&amp;y=2\">z</a></div>", None),
            ("plain", Some("must start with <div")),
            ("<divx></divx>", Some("must start with <div")),
            ("<div>open", Some("must end with </div>")),
            (
                "<div><script>x()</script></div>",
                Some("has an element that narratives may not have"),
            ),
            (
                "<div><SCRIPT>x()</div>",
                Some("has an element that narratives may not have"),
            ),
            (
                "<div><x:script/></div>",
                Some("has an element that narratives may not have"),
            ),
            (
                "<div><?php x?></div>",
                Some("has an element that narratives may not have"),
            ),
            (
                "<div><p onclick=\"x()\">a</p></div>",
                Some("has an event handler"),
            ),
            (
                "<div><p/ONload='x()'>a</p></div>",
                Some("has an event handler"),
            ),
            (
                "<div><p title=\"a\"onclick=\"x()\"/></div>",
                Some("has an event handler"),
            ),
            (
                "<div><p class=a>b</p></div>",
                Some("has an attribute without a quoted value"),
            ),
            ("<div><!-- </div>", Some("has an open comment")),
            ("<div><p </div>", Some("has an open tag")),
        ];
        for (text, expected) in cases {
            assert_eq!(fault(text), *expected, "{text}");
        }
        for address in [
            "javascript:x",
            " JavaScript:x",
            "java&#115;cript:x",
            "x&colon;y",
            "a\tb:c",
        ] {
            let text = format!("<div><a href=\"{address}\">x</a></div>");
            assert!(fault(&text).is_some(), "{address}");
        }
    }
}
