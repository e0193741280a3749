//! The tree to FHIR XML: elements in the order of the definitions, values in attributes.

use super::parse::is_attribute;
use super::{FHIR, narrative};
use crate::model::{Issue, IssueCode, Json, Object};
use crate::structure::path::Path;
use crate::structure::primitive::Primitive;
use crate::structure::table::{Element, Kind, Table, Type, table};

/// One resource as XML without white space between elements. Fails on what R4's definitions do not
/// know: it has no place in XML.
pub fn format(resource: &Json) -> Result<String, Issue> {
    write(resource, false)
}

/// The same, two spaces a level; narratives stay as they are.
pub fn format_pretty(resource: &Json) -> Result<String, Issue> {
    write(resource, true)
}

fn write(resource: &Json, is_pretty: bool) -> Result<String, Issue> {
    let mut writer = Writer {
        out: String::with_capacity(2048),
        is_pretty,
        level: 0,
        table: table(),
    };
    let name = resource.resource_type().unwrap_or("Resource");
    writer.resource(resource, &Path::root(name))?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    is_pretty: bool,
    level: usize,
    table: &'static Table,
}

/// One occurrence of an element, or all of them: its value and its `_` companion.
#[derive(Clone, Copy, Default)]
struct Pair<'a> {
    value: Option<&'a Json>,
    companion: Option<&'a Json>,
}

struct Member<'a> {
    element: &'static Element,
    pair: Pair<'a>,
}

impl Writer {
    fn resource(&mut self, value: &Json, path: &Path<'_>) -> Result<(), Issue> {
        let of = value.resource_type().and_then(|n| self.table.resource(n));
        let (Some(of), Some(object)) = (of, value.as_object()) else {
            return Err(unfit(path));
        };
        let is_root = self.out.is_empty();
        self.open(of.name);
        if is_root {
            self.attribute("xmlns", FHIR);
        }
        self.rest(of.name, (object, of), path)
    }

    /// What follows an open tag's name: attributes, children, closing tag.
    fn rest(
        &mut self,
        name: &str,
        (object, of): (&Object, &'static Type),
        path: &Path<'_>,
    ) -> Result<(), Issue> {
        let members = sorted(object, of, path)?;
        let is_attribute = |member: &&Member<'_>| is_attribute(of, member.element.json_name);
        let (attributes, children): (Vec<_>, Vec<_>) = members.iter().partition(is_attribute);
        for member in attributes {
            match (member.pair.value, member.pair.companion) {
                (Some(Json::String(text)), None) => self.attribute(member.element.json_name, text),
                _ => return Err(unfit(&path.member(member.element.name))),
            }
        }
        if children.is_empty() {
            self.out.push_str("/>");
            return Ok(());
        }
        self.out.push('>');
        self.level += 1;
        for member in children {
            self.member(member, &path.member(member.element.name))?;
        }
        self.level -= 1;
        self.close(name);
        Ok(())
    }

    fn member(&mut self, member: &Member<'_>, path: &Path<'_>) -> Result<(), Issue> {
        let Pair { value, companion } = member.pair;
        if !member.element.is_array {
            return self.single(member.element, member.pair, path);
        }
        let values = items(value, path)?;
        let companions = items(companion, path)?;
        let some = |item: &&Json| **item != Json::Null;
        for index in 0..values.len().max(companions.len()) {
            let pair = Pair {
                value: values.get(index).filter(some),
                companion: companions.get(index).filter(some),
            };
            self.single(member.element, pair, &path.item(index))?;
        }
        Ok(())
    }

    fn single(&mut self, element: &Element, pair: Pair<'_>, path: &Path<'_>) -> Result<(), Issue> {
        match (element.kind, pair.value) {
            (Kind::Primitive(Primitive::Xhtml), Some(Json::String(div))) => {
                if pair.companion.is_some() {
                    return Err(unfit(path));
                }
                self.line();
                self.out.push_str(&narrative::element(div));
                Ok(())
            }
            (Kind::Primitive(_), _) => self.primitive(element.json_name, pair, path),
            (Kind::Resource, Some(value)) => {
                self.open(element.json_name);
                self.out.push('>');
                self.level += 1;
                self.resource(value, path)?;
                self.level -= 1;
                self.close(element.json_name);
                Ok(())
            }
            (Kind::Complex(index), Some(Json::Object(object))) => {
                let of = self.table.type_at(index).ok_or_else(|| unfit(path))?;
                self.open(element.json_name);
                self.rest(element.json_name, (object, of), path)
            }
            _ => Err(unfit(path)),
        }
    }

    fn primitive(&mut self, name: &str, pair: Pair<'_>, path: &Path<'_>) -> Result<(), Issue> {
        self.open(name);
        match pair.value {
            Some(Json::Bool(true)) => self.attribute("value", "true"),
            Some(Json::Bool(false)) => self.attribute("value", "false"),
            Some(Json::Number(text)) => self.attribute("value", text),
            Some(Json::String(text)) => self.attribute("value", text),
            None if pair.companion.is_some() => {}
            _ => return Err(unfit(path)),
        }
        match (pair.companion, self.table.companion()) {
            (None, _) => {
                self.out.push_str("/>");
                Ok(())
            }
            (Some(Json::Object(object)), Some(of)) => self.rest(name, (object, of), path),
            _ => Err(unfit(path)),
        }
    }

    fn open(&mut self, name: &str) {
        self.line();
        self.out.push('<');
        self.out.push_str(name);
    }

    fn close(&mut self, name: &str) {
        self.line();
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(value, &mut self.out);
        self.out.push('"');
    }

    fn line(&mut self) {
        if self.is_pretty && !self.out.is_empty() {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.level));
        }
    }
}

/// The members of an object with their companions, as the definitions order them.
fn sorted<'a>(
    object: &'a Object,
    of: &'static Type,
    path: &Path<'_>,
) -> Result<Vec<Member<'a>>, Issue> {
    let mut members: Vec<Member<'a>> = Vec::with_capacity(object.len());
    for (name, value) in object.iter() {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let Some(element) = of.element(plain) else {
            if name == "resourceType" {
                continue;
            }
            return Err(unfit(&path.member(name)));
        };
        let at = members
            .iter()
            .position(|member| member.element.json_name == plain);
        let at = at.unwrap_or_else(|| {
            let pair = Pair::default();
            members.push(Member { element, pair });
            members.len() - 1
        });
        if let Some(member) = members.get_mut(at) {
            let is_companion = plain.len() < name.len();
            let place = match is_companion {
                true => &mut member.pair.companion,
                false => &mut member.pair.value,
            };
            *place = Some(value);
        }
    }
    members.sort_by_key(|member| member.element.slot);
    Ok(members)
}

fn items<'a>(value: Option<&'a Json>, path: &Path<'_>) -> Result<&'a [Json], Issue> {
    match value {
        None => Ok(&[]),
        Some(value) => value.as_array().ok_or_else(|| unfit(path)),
    }
}

/// Writes text for an attribute or between tags. Line ends and tabs are written as references, since
/// a reader would make blanks of them. Characters that XML 1.0 forbids become U+FFFD.
pub(super) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c if is_allowed(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Characters of XML 1.0.
pub(super) fn is_allowed(c: char) -> bool {
    c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}') || matches!(c, '\t' | '\n' | '\r')
}

fn unfit(path: &Path<'_>) -> Issue {
    let text = "this has no form in XML, since it is not as R4 defines it; ask for JSON";
    Issue::error("E-XML-16", IssueCode::NotSupported, path.text(), text)
}
