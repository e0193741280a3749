//! Goes through a resource beside its definition and notes what does not fit.

use super::ISSUES_MAX;
use super::fault::Fault;
use crate::model::{Issue, Json, Object};
use crate::structure::narrative;
use crate::structure::path::Path;
use crate::structure::primitive::{Misfit, Primitive};
use crate::structure::table::{Element, Kind, Slots, Table, Type};

/// The findings about one resource.
pub(super) fn resource(value: &Json, table: &'static Table) -> Vec<Issue> {
    let mut walk = Walk {
        table,
        issues: Vec::new(),
    };
    let name = value
        .resource_type()
        .filter(|n| table.resource(n).is_some());
    walk.resource(value, &Path::root(name.unwrap_or("Resource")), false);
    walk.issues
}

/// A member's object, and the member's value.
#[derive(Clone, Copy)]
struct Beside<'a>(&'a Object, &'a Json);

impl Beside<'_> {
    /// Whether the `_` companion of an array has an object at `index`.
    fn has_companion(self, element: &Element, index: usize) -> bool {
        let companion = self.0.get(&format!("_{}", element.json_name));
        let item = companion.and_then(|c| c.as_array()?.get(index));
        matches!(element.kind, Kind::Primitive(_)) && matches!(item, Some(Json::Object(_)))
    }
}

struct Walk {
    table: &'static Table,
    issues: Vec<Issue>,
}

/// The elements met in one object.
#[derive(Default)]
struct Seen<'a> {
    slots: Slots,
    choices: Vec<&'a Element>,
}

impl Walk {
    fn resource(&mut self, value: &Json, path: &Path<'_>, is_contained: bool) {
        let Some(object) = value.as_object() else {
            return self.note(path, Fault::NoObject);
        };
        let Some(name) = value.resource_type() else {
            return self.note(path, Fault::NoResourceType);
        };
        let Some(of) = self.table.resource(name) else {
            return self.note(path, Fault::UnknownResourceType);
        };
        if is_contained && object.get("contained").is_some() {
            self.note(&path.member("contained"), Fault::ContainedInContained);
        }
        self.members(object, of, path, true);
    }

    /// The members of a resource (`is_root`) or a complex value.
    fn members(&mut self, object: &Object, of: &'static Type, path: &Path<'_>, is_root: bool) {
        let mut seen = Seen::default();
        for (name, value) in object.iter() {
            if self.issues.len() >= ISSUES_MAX {
                return;
            }
            if is_root && name == "resourceType" {
                continue;
            }
            let plain = name.strip_prefix('_').unwrap_or(name);
            let is_companion = plain.len() < name.len();
            match of.element(plain) {
                Some(element) if !is_companion || matches!(element.kind, Kind::Primitive(_)) => {
                    self.choice(&mut seen, element, path);
                    let beside = Beside(object, value);
                    if is_companion {
                        self.companion(element, beside, path);
                    } else {
                        self.element(element, beside, path);
                    }
                }
                _ => self.note(&path.member(name), Fault::UnknownElement),
            }
        }
        for (name, slot) in &of.required {
            if seen.slots & slot == 0 {
                self.note(&path.member(name), Fault::Required);
            }
        }
    }

    fn choice<'a>(&mut self, seen: &mut Seen<'a>, element: &'a Element, path: &Path<'_>) {
        seen.slots |= element.slot;
        if !element.is_choice {
            return;
        }
        let earlier = seen.choices.iter().find(|e| e.slot == element.slot);
        match earlier {
            None => seen.choices.push(element),
            Some(earlier) if earlier.json_name == element.json_name => {}
            Some(earlier) => {
                let fault = Fault::ChoiceTwice(earlier.json_name, element.json_name);
                self.note(&path.member(element.name), fault);
            }
        }
    }

    fn element(&mut self, element: &Element, beside: Beside<'_>, path: &Path<'_>) {
        let path = path.member(element.name);
        match (element.is_array, beside.1) {
            (true, Json::Array(items)) if items.is_empty() => self.note(&path, Fault::EmptyArray),
            (true, Json::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if self.issues.len() >= ISSUES_MAX {
                        return;
                    }
                    match item {
                        Json::Null if beside.has_companion(element, i) => {}
                        Json::Null => self.note(&path.item(i), Fault::LoneNull),
                        _ => self.single(element, item, &path.item(i)),
                    }
                }
            }
            (true, _) => self.note(&path, Fault::ArrayWanted),
            (false, Json::Array(_)) => self.note(&path, Fault::SingleWanted),
            (false, value) => self.single(element, value, &path),
        }
    }

    fn single(&mut self, element: &Element, value: &Json, path: &Path<'_>) {
        match element.kind {
            Kind::Primitive(primitive) => self.primitive(primitive, element, value, path),
            Kind::Resource => self.resource(value, path, element.name == "contained"),
            Kind::Complex(index) => match (self.table.type_at(index), value) {
                (Some(of), Json::Object(object)) if !object.is_empty() => {
                    self.members(object, of, path, false);
                }
                (_, Json::Object(_)) => self.note(path, Fault::EmptyObject),
                _ => self.note(path, Fault::JsonType("an object")),
            },
        }
    }

    fn primitive(&mut self, of: Primitive, element: &Element, value: &Json, path: &Path<'_>) {
        match of.check(value) {
            Err(Misfit::JsonType(wanted)) => return self.note(path, Fault::JsonType(wanted)),
            Err(Misfit::Pattern(wanted)) => return self.note(path, Fault::Pattern(wanted)),
            Ok(()) => {}
        }
        let Some(text) = value.as_str() else { return };
        if of == Primitive::Xhtml
            && let Some(fault) = narrative::fault(text)
        {
            self.note(path, Fault::Narrative(fault));
        }
        if let Some(list) = element.codes
            && !self.table.has_code(list, text)
        {
            self.note(path, Fault::Code);
        }
    }

    /// `_name`: id and extensions of a primitive, in the same shape as the primitive itself.
    fn companion(&mut self, element: &Element, beside: Beside<'_>, path: &Path<'_>) {
        let path = path.member(element.name);
        match (element.is_array, beside.1) {
            (false, value @ Json::Object(_)) => self.companion_object(value, &path),
            (true, Json::Array(items)) if items.iter().any(|i| *i != Json::Null) => {
                let values = beside.0.get(element.json_name).and_then(Json::as_array);
                if values.is_some_and(|v| v.len() != items.len()) {
                    self.note(&path, Fault::CompanionCount);
                }
                for (i, item) in items.iter().enumerate() {
                    if values.is_none() || *item != Json::Null {
                        self.companion_object(item, &path.item(i));
                    }
                }
            }
            _ => self.note(&path, Fault::CompanionShape),
        }
    }

    fn companion_object(&mut self, value: &Json, path: &Path<'_>) {
        let object = value.as_object().filter(|o| !o.is_empty());
        match (object, self.table.companion()) {
            (Some(object), Some(of)) => self.members(object, of, path, false),
            _ => self.note(path, Fault::CompanionEmpty),
        }
    }

    fn note(&mut self, path: &Path<'_>, fault: Fault<'_>) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(fault.issue(path.text()));
        }
    }
}
