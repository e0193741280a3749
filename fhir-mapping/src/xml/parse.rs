//! FHIR XML to the tree. What XML leaves open (a number's pattern, a code's list) is left to
//! validation; here only that is refused which has no place in the tree.

use super::source::{Namespace, Source, Tag, Token};
use crate::model::{Issue, IssueCode, Json, Limits, Object};
use crate::structure::path::Path;
use crate::structure::primitive::Primitive;
use crate::structure::table::{Element, Kind, Table, Type, table};

/// Parses one resource. The issue names the element, or the byte where XML itself is broken.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Json, Issue> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let text = format!("the body is not UTF-8 at byte {}", e.valid_up_to());
        Issue::error("E-XML-9", IssueCode::Structure, "", text)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser {
        // An element inside an array makes two levels of the tree.
        source: Source::new(text, limits.depth_max / 2),
        table: table(),
        limits,
    };
    let Token::Open(tag) = parser.source.next()? else {
        return Err(parser.source.malformed());
    };
    let name = tag.name.clone();
    let resource = parser.resource(tag, &Path::root(&name))?;
    match parser.source.next()? {
        Token::End => Ok(resource),
        Token::Open(_) | Token::Close => Err(parser.source.malformed()),
    }
}

struct Parser<'a> {
    source: Source<'a>,
    table: &'static Table,
    limits: Limits,
}

/// All occurrences of one element.
struct Group {
    element: &'static Element,
    values: Vec<Json>,
    /// Ids and extensions of primitives, Null where there are none.
    companions: Vec<Json>,
}

impl Parser<'_> {
    fn resource(&mut self, tag: Tag, path: &Path<'_>) -> Result<Json, Issue> {
        let of = self.table.resource(&tag.name);
        let Some(of) = of.filter(|_| tag.namespace == Namespace::Fhir) else {
            let text = "a resource of FHIR R4 in the namespace http://hl7.org/fhir is expected";
            let code = IssueCode::NotSupported;
            return Err(Issue::error("E-XML-10", code, path.text(), text));
        };
        if !tag.attributes.is_empty() {
            return Err(unknown_attribute(path));
        }
        let mut object = Object::new();
        object.push("resourceType".to_owned(), of.name.into());
        self.members(of, path, &mut object)?;
        Ok(Json::Object(object))
    }

    /// A data type or backbone element, with the attributes that its members `id` and `url` are.
    fn complex(&mut self, tag: Tag, of: &'static Type, path: &Path<'_>) -> Result<Object, Issue> {
        let mut object = Object::new();
        for (name, value) in tag.attributes {
            if !is_attribute(of, &name) {
                return Err(unknown_attribute(path));
            }
            object.push(name, value.into());
        }
        self.members(of, path, &mut object)?;
        Ok(object)
    }

    /// Reads child elements up to the closing tag.
    fn members(
        &mut self,
        of: &'static Type,
        path: &Path<'_>,
        object: &mut Object,
    ) -> Result<(), Issue> {
        let mut groups: Vec<Group> = Vec::new();
        loop {
            let token = self.source.next().map_err(|issue| located(issue, path))?;
            let tag = match token {
                Token::Open(tag) => tag,
                Token::Close => break,
                Token::End => return Err(self.source.malformed()),
            };
            let element = self.element(of, &tag, path)?;
            let at = groups
                .iter()
                .rposition(|group| group.element.json_name == element.json_name);
            let at = at.unwrap_or_else(|| {
                groups.push(Group::new(element));
                groups.len() - 1
            });
            let Some(group) = groups.get_mut(at) else {
                continue;
            };
            self.occurrence(tag, group, path)?;
        }
        groups.into_iter().for_each(|group| group.finish(object));
        Ok(())
    }

    fn element(
        &self,
        of: &'static Type,
        tag: &Tag,
        path: &Path<'_>,
    ) -> Result<&'static Element, Issue> {
        let element = of.element(&tag.name);
        let element = element.filter(|_| !is_attribute(of, &tag.name));
        let wanted = match element.map(|element| element.kind) {
            Some(Kind::Primitive(Primitive::Xhtml)) => Namespace::Xhtml,
            _ => Namespace::Fhir,
        };
        element.filter(|_| tag.namespace == wanted).ok_or_else(|| {
            let text = "R4 knows no such element here, in this namespace";
            let at = path.member(&tag.name).text();
            Issue::error("E-XML-11", IssueCode::Structure, at, text)
        })
    }

    fn occurrence(&mut self, tag: Tag, group: &mut Group, path: &Path<'_>) -> Result<(), Issue> {
        let element = group.element;
        let path = path.member(element.name);
        let path = if element.is_array {
            path.item(group.values.len())
        } else if group.values.is_empty() {
            path
        } else {
            let text = "the element may be given once";
            return Err(Issue::error(
                "E-XML-12",
                IssueCode::Duplicate,
                path.text(),
                text,
            ));
        };
        let mut companion = Json::Null;
        let value = match element.kind {
            Kind::Primitive(Primitive::Xhtml) => {
                let raw = self.source.raw(&tag);
                raw.map_err(|issue| located(issue, &path))?.into()
            }
            Kind::Primitive(primitive) => {
                let value;
                (value, companion) = self.primitive(tag, primitive, &path)?;
                value
            }
            Kind::Resource => self.wrapped(tag, &path)?,
            Kind::Complex(index) => match self.table.type_at(index) {
                Some(of) => Json::Object(self.complex(tag, of, &path)?),
                None => return Err(self.source.malformed()),
            },
        };
        group.values.push(value);
        group.companions.push(companion);
        Ok(())
    }

    /// The value in its attribute, and id and extensions as the companion object.
    fn primitive(
        &mut self,
        mut tag: Tag,
        of: Primitive,
        path: &Path<'_>,
    ) -> Result<(Json, Json), Issue> {
        let at = tag.attributes.iter().position(|(name, _)| name == "value");
        let value = at.map(|at| tag.attributes.swap_remove(at).1);
        let Some(companion) = self.table.companion() else {
            return Err(self.source.malformed());
        };
        let companion = self.complex(tag, companion, path)?;
        let companion = match companion.is_empty() {
            true => Json::Null,
            false => Json::Object(companion),
        };
        if value.is_none() && companion == Json::Null {
            let text = "the element has neither a value nor extensions";
            return Err(Issue::error(
                "E-XML-13",
                IssueCode::Required,
                path.text(),
                text,
            ));
        }
        let value = value.map_or(Json::Null, |text| self.value(of, text));
        Ok((value, companion))
    }

    /// A text that is no number or truth value stays text: validation then names the element.
    fn value(&self, of: Primitive, text: String) -> Json {
        match of {
            Primitive::Boolean => match text.as_str() {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                _ => Json::String(text),
            },
            Primitive::Integer
            | Primitive::UnsignedInt
            | Primitive::PositiveInt
            | Primitive::Decimal => match crate::model::parse(text.as_bytes(), self.limits) {
                Ok(Json::Number(number)) if *number == *text => Json::Number(number),
                _ => Json::String(text),
            },
            _ => Json::String(text),
        }
    }

    /// A resource inside an element of another: `<contained><Patient>`.
    fn wrapped(&mut self, tag: Tag, path: &Path<'_>) -> Result<Json, Issue> {
        if !tag.attributes.is_empty() {
            return Err(unknown_attribute(path));
        }
        let resource = match self.source.next().map_err(|issue| located(issue, path))? {
            Token::Open(tag) => self.resource(tag, path)?,
            Token::Close | Token::End => return Err(one_resource(path)),
        };
        match self.source.next().map_err(|issue| located(issue, path))? {
            Token::Close => Ok(resource),
            Token::Open(_) | Token::End => Err(one_resource(path)),
        }
    }
}

impl Group {
    fn new(element: &'static Element) -> Group {
        Group {
            element,
            values: Vec::new(),
            companions: Vec::new(),
        }
    }

    fn finish(self, object: &mut Object) {
        let name = self.element.json_name;
        for (name, mut items) in [
            (name.to_owned(), self.values),
            (format!("_{name}"), self.companions),
        ] {
            if items.iter().all(|item| *item == Json::Null) {
                continue;
            }
            if self.element.is_array {
                object.push(name, Json::Array(items));
            } else if let Some(item) = items.pop() {
                object.push(name, item);
            }
        }
    }
}

/// Members that XML has as attributes: `Element.id` and `Extension.url` (R4 2.6.1).
pub(super) fn is_attribute(of: &Type, name: &str) -> bool {
    let is_resource = of.element("implicitRules").is_some();
    match name {
        "id" => !is_resource,
        "url" => of.name == "Extension",
        _ => false,
    }
}

fn located(mut issue: Issue, path: &Path<'_>) -> Issue {
    if issue.expression.is_empty() {
        issue.expression = path.text();
    }
    issue
}

fn unknown_attribute(path: &Path<'_>) -> Issue {
    let text = "the element has an attribute that R4 does not know";
    Issue::error("E-XML-14", IssueCode::Structure, path.text(), text)
}

fn one_resource(path: &Path<'_>) -> Issue {
    let text = "the element holds exactly one resource";
    Issue::error("E-XML-15", IssueCode::Structure, path.text(), text)
}
