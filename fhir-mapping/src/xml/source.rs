//! XML as a strict stream of tags: no DTDs, no entities but XML's five, everything bounded.
//! <https://www.w3.org/TR/xml/>

use super::{FHIR, XHTML};
use crate::model::{Issue, IssueCode};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// More attributes than these no element of FHIR or XHTML has.
const ATTRIBUTES_MAX: usize = 64;
/// Depth of a narrative's markup.
const MARKUP_DEPTH_MAX: usize = 256;
/// Attributes of schema tools, which say nothing about the content.
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// A text under the reader.
pub(super) struct Source<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    /// Namespace declarations in force, the inner ones last.
    bindings: Vec<Binding>,
    depth: usize,
    depth_max: usize,
    /// An empty tag was opened and is closed next.
    closes_next: bool,
}

struct Binding {
    depth: usize,
    prefix: String,
    namespace: Namespace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    Fhir,
    Xhtml,
    Instance,
    /// No namespace at all.
    None,
    Other,
}

pub(super) enum Token {
    Open(Tag),
    Close,
    End,
}

pub(super) struct Tag {
    /// Without prefix.
    pub(super) name: String,
    pub(super) namespace: Namespace,
    /// Without namespace declarations and schema tools' attributes.
    pub(super) attributes: Vec<(String, String)>,
    is_prefixed: bool,
    is_empty: bool,
    start: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, depth_max: usize) -> Source<'a> {
        Source {
            text,
            reader: Reader::from_str(text),
            bindings: Vec::new(),
            depth: 0,
            depth_max,
            closes_next: false,
        }
    }

    /// The next tag; comments and processing instructions are passed over, text is refused.
    pub(super) fn next(&mut self) -> Result<Token, Issue> {
        if self.closes_next {
            self.closes_next = false;
            return Ok(self.close());
        }
        loop {
            let start = self.position();
            let event = self.reader.read_event();
            match event.map_err(|_shown_by_place| self.malformed())? {
                Event::Start(tag) => return self.open(&tag, start, false).map(Token::Open),
                Event::Empty(tag) => return self.open(&tag, start, true).map(Token::Open),
                Event::End(_) => return Ok(self.close()),
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(declaration) => check_declaration(&declaration, start)?,
                Event::DocType(_) => return Err(doctype()),
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    let text = "text between elements; a value stands in the attribute value";
                    return Err(fault("E-XML-1", text));
                }
                Event::Eof if self.depth == 0 => return Ok(Token::End),
                Event::Eof => return Err(self.malformed()),
            }
        }
    }

    /// The whole element of a tag just opened, as written: foreign markup of a narrative.
    pub(super) fn raw(&mut self, tag: &Tag) -> Result<&'a str, Issue> {
        if tag.is_prefixed {
            let text =
                "the narrative's div declares XHTML as its default namespace, without prefix";
            return Err(fault("E-XML-2", text));
        }
        let mut depth = usize::from(!tag.is_empty);
        while depth > 0 {
            let event = self.reader.read_event();
            match event.map_err(|_shown_by_place| self.malformed())? {
                Event::Start(tag) => {
                    check_markup(&tag)?;
                    depth += 1;
                }
                Event::Empty(tag) => drop(check_markup(&tag)?),
                Event::End(_) => depth -= 1,
                Event::Text(_) | Event::Comment(_) => {}
                Event::GeneralRef(reference) if is_known(&reference) => {}
                Event::GeneralRef(_) => return Err(unknown_entity()),
                Event::DocType(_) => return Err(doctype()),
                Event::CData(_) | Event::PI(_) => return Err(no_markup()),
                Event::Decl(_) | Event::Eof => return Err(self.malformed()),
            }
            if depth > MARKUP_DEPTH_MAX {
                return Err(too_deep());
            }
        }
        self.closes_next = false;
        self.close();
        let element = self.text.get(tag.start..self.position());
        element.ok_or_else(|| self.malformed())
    }

    fn open(&mut self, tag: &BytesStart<'_>, start: usize, is_empty: bool) -> Result<Tag, Issue> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(too_deep());
        }
        self.closes_next = is_empty;
        let mut attributes = Vec::new();
        for (name, value) in check_markup(tag)? {
            match name.split_once(':') {
                None if name == "xmlns" => self.bind("", &value),
                Some(("xmlns", prefix)) => self.bind(prefix, &value),
                _ => attributes.push((name, value)),
            }
        }
        attributes.retain(|(name, _)| match name.split_once(':') {
            Some((prefix, _)) => self.namespace(prefix) != Namespace::Instance,
            None => true,
        });
        let name = tag.name();
        let (prefix, local) = name.as_ref().split_once(':').unwrap_or(("", name.as_ref()));
        Ok(Tag {
            name: local.to_owned(),
            namespace: self.namespace(prefix),
            attributes,
            is_prefixed: !prefix.is_empty(),
            is_empty,
            start,
        })
    }

    fn close(&mut self) -> Token {
        while self.bindings.last().is_some_and(|b| b.depth >= self.depth) {
            self.bindings.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        Token::Close
    }

    fn bind(&mut self, prefix: &str, uri: &str) {
        let namespace = match uri {
            FHIR => Namespace::Fhir,
            XHTML => Namespace::Xhtml,
            INSTANCE => Namespace::Instance,
            "" => Namespace::None,
            _ => Namespace::Other,
        };
        self.bindings.push(Binding {
            depth: self.depth,
            prefix: prefix.to_owned(),
            namespace,
        });
    }

    fn namespace(&self, prefix: &str) -> Namespace {
        let mut inner_first = self.bindings.iter().rev();
        let found = inner_first.find(|binding| binding.prefix == prefix);
        found.map_or(Namespace::None, |binding| binding.namespace)
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    pub(super) fn malformed(&self) -> Issue {
        let text = format!("malformed XML at byte {}", self.position());
        fault("E-XML-3", text)
    }
}

/// Names and values of a tag, each name once; values with references replaced.
fn check_markup(tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, Issue> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut attributes = tag.attributes();
    for attribute in attributes.with_checks(false) {
        let attribute = attribute.map_err(|_where_is_known| bad_attribute())?;
        let name = attribute.key.as_ref();
        let is_twice = found.iter().any(|(known, _)| known == name);
        if is_twice || found.len() >= ATTRIBUTES_MAX || attribute.value.contains('<') {
            return Err(bad_attribute());
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|_unknown_or_cut| unknown_entity())?;
        found.push((name.to_owned(), value.into_owned()));
    }
    Ok(found)
}

/// XML's own five, or a character by its number.
fn is_known(reference: &BytesRef<'_>) -> bool {
    match reference.resolve_char_ref() {
        Ok(Some(_)) => true,
        Ok(None) => resolve_predefined_entity(reference.as_ref()).is_some(),
        Err(_no_character) => false,
    }
}

fn check_declaration(declaration: &BytesDecl<'_>, start: usize) -> Result<(), Issue> {
    let is_1_0 = declaration.version().is_ok_and(|version| version == "1.0");
    let is_utf8 = declaration
        .encoding()
        .is_none_or(|encoding| encoding.is_ok_and(|name| name.eq_ignore_ascii_case("utf-8")));
    if start == 0 && is_1_0 && is_utf8 {
        return Ok(());
    }
    let text = "the XML declaration, if any, comes first and says version 1.0 and encoding UTF-8";
    Err(fault("E-XML-4", text))
}

fn doctype() -> Issue {
    fault(
        "E-XML-5",
        "a DTD is not taken; send the resource without DOCTYPE",
    )
}

fn unknown_entity() -> Issue {
    let text = "an entity that XML does not define by itself; write the character, as &#160;";
    fault("E-XML-6", text)
}

fn no_markup() -> Issue {
    let text = "CDATA or a processing instruction in a narrative; write characters, as &lt;";
    fault("E-XML-17", text)
}

fn bad_attribute() -> Issue {
    let text = "a tag has a malformed attribute, one twice, or too many";
    fault("E-XML-7", text)
}

fn too_deep() -> Issue {
    let text = "the XML is nested too deep";
    Issue::error("E-XML-8", IssueCode::TooCostly, "", text)
}

fn fault(number: &'static str, text: impl Into<String>) -> Issue {
    Issue::error(number, IssueCode::Structure, "", text)
}
