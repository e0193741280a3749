//! The expression of a SearchParameter, as far as it is within the subset that searching walks:
//! names, `|`, parentheses around an alternative, `as`, `ofType`, `extension('url')`, `[0]`,
//! `where(name = 'text')` and `where(resolve() is Type)`. Names are checked against R4's elements.

use crate::search::definitions::is_resource_type;
use crate::structure::table::{Element, Kind, Type, table};

/// One alternative, in the spelling of our own table, and the types of what it leads to.
#[derive(Debug, PartialEq)]
pub(super) struct Alternative {
    pub(super) path: String,
    pub(super) types: Vec<&'static str>,
}

/// Roots that stand for every type.
const EVERY: [&str; 2] = ["Resource", "DomainResource"];
/// Longer expressions are refused.
const BYTES_MAX: usize = 4_000;
const ALTERNATIVES_MAX: usize = 32;

/// The alternatives that are about this type; the error says what cannot be read.
pub(super) fn alternatives(text: &str, base: &str) -> Result<Vec<Alternative>, String> {
    if text.len() > BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    let mut found = Vec::new();
    for part in parts(text, '|')? {
        match unwrapped(part)? {
            Some(inner) => found.extend(alternatives(inner, base)?),
            None => found.extend(alternative(part, base)?),
        }
    }
    if found.len() > ALTERNATIVES_MAX {
        return Err("it has too many alternatives".to_owned());
    }
    Ok(found)
}

/// Splits where neither parentheses nor quotes are open.
fn parts(text: &str, delimiter: char) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("a parenthesis is not opened")?,
            c if c == delimiter && depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 || quoted {
        return Err("a parenthesis or quote is not closed".to_owned());
    }
    parts.extend(text.get(start..));
    Ok(parts.into_iter().map(str::trim).collect())
}

/// What stands within parentheses around the whole.
fn unwrapped(text: &str) -> Result<Option<&str>, String> {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else {
        return Ok(None);
    };
    // `(a) and (b)` is not one pair.
    Ok(parts(inner, '|').is_ok().then_some(inner))
}

/// `None` when it is about another type.
fn alternative(text: &str, base: &str) -> Result<Option<Alternative>, String> {
    let (text, cast) = match text.rsplit_once(" as ") {
        Some((head, name)) if is_word(name.trim()) => (head.trim(), Some(name.trim())),
        _ => (text, None),
    };
    let text = unwrapped(text)?.unwrap_or(text);
    let mut steps = parts(text, '.')?.into_iter();
    let root = steps.next().unwrap_or_default();
    if root != base && !EVERY.contains(&root) {
        return match is_resource_type(root) {
            true => Ok(None),
            false => Err(format!("{} is no type to begin with", shown(root))),
        };
    }
    let start = table().resource(base).ok_or("its base has no elements")?;
    let mut walk = Walk {
        path: Vec::new(),
        places: vec![Place::Node(start)],
        choice: None,
    };
    for step in steps {
        walk.step(step)?;
    }
    if let Some(name) = cast {
        walk.cast(name)?;
    }
    if walk.path.is_empty() {
        return Err("it names no element".to_owned());
    }
    let types = walk.places.iter().map(Place::name).collect();
    let path = walk.path.join(".");
    Ok(Some(Alternative { path, types }))
}

/// Where a walk may stand.
#[derive(Clone, Copy)]
enum Place {
    Node(&'static Type),
    Leaf(&'static str),
}

struct Walk {
    path: Vec<String>,
    places: Vec<Place>,
    /// The last step's elements, when they are the types of one choice.
    choice: Option<Vec<&'static Element>>,
}

impl Place {
    fn of(element: &Element) -> Place {
        match element.kind {
            Kind::Complex(index) => match table().type_at(index) {
                Some(of) => Place::Node(of),
                None => Place::Leaf(element.type_name),
            },
            Kind::Primitive(_) => Place::Leaf(element.type_name),
            Kind::Resource => Place::Leaf("Resource"),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Place::Node(of) => of.name,
            Place::Leaf(name) => name,
        }
    }
}

impl Walk {
    fn step(&mut self, step: &str) -> Result<(), String> {
        let call = step.strip_suffix(')').and_then(|step| step.split_once('('));
        match call {
            Some(("as" | "ofType", name)) => self.cast(name.trim()),
            Some(("extension", url)) => {
                let url = literal(url)?;
                self.member("extension")?;
                self.path.push(format!("where(url='{url}')"));
                Ok(())
            }
            Some(("where", condition)) => {
                self.path.push(condition_of(condition)?);
                Ok(())
            }
            Some((name, _)) => Err(format!("{}() is not understood", shown(name))),
            None => self.member(step),
        }
    }

    fn member(&mut self, step: &str) -> Result<(), String> {
        let name = step.strip_suffix("[0]").unwrap_or(step);
        let unknown = || format!("there is no element {}", shown(name));
        if !is_word(name) {
            return Err(format!("{} is not understood", shown(step)));
        }
        let nodes = self.places.iter().filter_map(|place| match place {
            Place::Node(of) => Some(*of),
            Place::Leaf(_) => None,
        });
        let nodes: Vec<&'static Type> = nodes.collect();
        let plain: Vec<&'static Element> = nodes.iter().filter_map(|of| of.element(name)).collect();
        let plain: Vec<&'static Element> = plain.into_iter().filter(|e| !e.is_choice).collect();
        let choice: Vec<&'static Element> = nodes.iter().flat_map(|of| of.choices(name)).collect();
        let (found, text) = match (plain.is_empty(), choice.is_empty()) {
            (false, true) => (&plain, step.to_owned()),
            (true, false) if name == step => (&choice, format!("{name}[x]")),
            _ => return Err(unknown()),
        };
        self.places = found.iter().map(|element| Place::of(element)).collect();
        self.choice = (!choice.is_empty()).then_some(choice);
        self.path.push(text);
        Ok(())
    }

    /// `as(Quantity)`: one type of a choice.
    fn cast(&mut self, name: &str) -> Result<(), String> {
        let name = name.strip_prefix("FHIR.").unwrap_or(name);
        let is_meant = |place: &Place| place.name().eq_ignore_ascii_case(name);
        let Some(choice) = self.choice.take() else {
            return match self.places.iter().any(is_meant) {
                true => Ok(()),
                false => Err(format!(
                    "what stands before {} is of no such type",
                    shown(name)
                )),
            };
        };
        let one = choice.iter().find(|element| element.type_name == name);
        let one = one.ok_or_else(|| format!("{} is none of the choice's types", shown(name)))?;
        self.places = vec![Place::of(one)];
        if let Some(last) = self.path.last_mut() {
            one.json_name.clone_into(last);
        }
        Ok(())
    }
}

/// `where(type = 'x')` or `where(resolve() is Patient)`, spelled as `Path` reads it.
fn condition_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if let Some(name) = text.strip_prefix("resolve()") {
        let name = name.trim().strip_prefix("is ").map_or("", str::trim);
        return match is_resource_type(name) {
            true => Ok(format!("where(resolve() is {name})")),
            false => Err("where(resolve() is ...) takes a resource type".to_owned()),
        };
    }
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| is_word(name.trim()))
        .ok_or("where(...) takes name = 'text' or resolve() is Type")?;
    Ok(format!("where({}='{}')", name.trim(), literal(value)?))
}

/// The text within quotes.
fn literal(text: &str) -> Result<&str, String> {
    let inner = text
        .trim()
        .strip_prefix('\'')
        .and_then(|t| t.strip_suffix('\''));
    inner
        .filter(|inner| !inner.contains(['\'', '\\', '(', ')']))
        .filter(|inner| !inner.contains(char::is_control))
        .ok_or_else(|| "a text in quotes is expected, without quotes or parentheses".to_owned())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood() {
        let check = |base: &str, text: &str, expected: &str| {
            let found = match alternatives(text, base) {
                Ok(found) => {
                    let shown = |a: &Alternative| format!("{} {}", a.path, a.types.join(","));
                    found.iter().map(shown).collect::<Vec<_>>().join(" | ")
                }
                Err(why) => format!("! {why}"),
            };
            assert_eq!(found, expected, "{text}");
        };
        for (base, text, expected) in [
            (
                "Patient",
                "Patient.maritalStatus",
                "maritalStatus CodeableConcept",
            ),
            (
                "Patient",
                "(Patient.photo[0].title)",
                "photo[0].title string",
            ),
            (
                "Patient",
                "Patient.name.given | Person.name.given",
                "name.given string",
            ),
            (
                "Patient",
                "Patient.contact.where(gender='male').name",
                "contact.where(gender='male').name HumanName",
            ),
            (
                "Patient",
                "Patient.extension('http://x.org/a|b').value.as(CodeableConcept)",
                "extension.where(url='http://x.org/a|b').valueCodeableConcept CodeableConcept",
            ),
            (
                "Patient",
                "Patient.extension.where(url = 'http://x.org/e').extension.where(url='y').value as Coding",
                "extension.where(url='http://x.org/e').extension.where(url='y').valueCoding Coding",
            ),
            (
                "Observation",
                "(Observation.value as Quantity) | Observation.value.ofType(Range)",
                "valueQuantity Quantity | valueRange Range",
            ),
            (
                "Observation",
                "Observation.subject.where(resolve() is Patient)",
                "subject.where(resolve() is Patient) Reference",
            ),
            ("Observation", "Resource.language", "language code"),
            ("Observation", "Patient.name", ""),
            (
                "Patient",
                "Patient.nonsense",
                "! there is no element nonsense",
            ),
            (
                "Patient",
                "Patient.name.exists()",
                "! exists() is not understood",
            ),
            ("Patient", "Patient", "! it names no element"),
            ("Patient", "name.given", "! name is no type to begin with"),
            (
                "Patient",
                "Patient.name.where(use",
                "! a parenthesis or quote is not closed",
            ),
            ("Patient", "Patient.birthDate.x", "! there is no element x"),
            (
                "Patient",
                "Patient.deceased.as(Quantity)",
                "! Quantity is none of the choice's types",
            ),
            (
                "Patient",
                "Patient.name and Patient.photo",
                "! name and Patient is not understood",
            ),
        ] {
            check(base, text, expected);
        }
    }
}
