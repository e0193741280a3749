//! How an element is written in JSON, for those that put resources together piece by piece.

use super::table::{Element, Kind, Type, table};

/// One element, or one type of a choice element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// As in JSON: `valueQuantity`.
    pub(crate) json_name: &'static str,
    /// As in FHIRPath: `value`.
    pub(crate) name: &'static str,
    pub(crate) is_choice: bool,
    pub(crate) is_array: bool,
}

/// The elements that `name` may mean below `parents` (JSON names from the resource down): one by its
/// JSON name, or all types of a choice. Empty when there is none.
pub(crate) fn shapes(resource_type: &str, parents: &[&str], name: &str) -> Vec<Shape> {
    let Some(found) = holder(resource_type, parents) else {
        return Vec::new();
    };
    match found.element(name) {
        Some(element) => vec![shape(element)],
        None => found.choices(name).map(shape).collect(),
    }
}

fn holder(resource_type: &str, parents: &[&str]) -> Option<&'static Type> {
    let table = table();
    let start = table.resource(resource_type)?;
    parents
        .iter()
        .try_fold(start, |within, name| match within.element(name)?.kind {
            Kind::Complex(index) => table.type_at(index),
            Kind::Primitive(_) | Kind::Resource => None,
        })
}

fn shape(element: &Element) -> Shape {
    Shape {
        json_name: element.json_name,
        name: element.name,
        is_choice: element.is_choice,
        is_array: element.is_array,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_choices_are_found() {
        let names = |resource: &str, parents: &[&str], name: &str| -> String {
            let found = shapes(resource, parents, name);
            let texts = found
                .iter()
                .map(|s| format!("{}{}", s.json_name, if s.is_array { "*" } else { "" }));
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("Patient", &[], "name"), "name*");
        assert_eq!(names("Patient", &["name"], "given"), "given*");
        assert_eq!(
            names("Patient", &[], "deceased"),
            "deceasedBoolean deceasedDateTime"
        );
        assert_eq!(names("Patient", &["contact", "name"], "family"), "family");
        assert_eq!(names("Patient", &[], "colour"), "");
        assert_eq!(names("Patient", &["contained"], "name"), "");
    }
}
