//! The paths of FHIRPath Patch: FHIRPath that names places in a resource, not what computes.

use crate::fhirpath::{Expression, compile};
use std::sync::Arc;

/// A path, compiled.
#[derive(Clone, Debug)]
pub(super) struct Path {
    source: String,
    pub(super) expression: Arc<Expression>,
    /// As sent, for messages.
    pub(super) text: String,
}

/// More than any path needs.
const BYTES_MAX: usize = 4_000;

impl Path {
    /// `Err` says what is not understood.
    pub(super) fn parse(text: &str) -> Result<Path, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("the path is longer than {BYTES_MAX} bytes"));
        }
        let expression =
            compile(text).map_err(|misread| format!("the path cannot be read: {misread}"))?;
        if !expression.is_path() {
            return Err("the path computes something, and names no place".to_owned());
        }
        Ok(Path {
            source: text.to_owned(),
            expression: Arc::new(expression),
            text: super::shown(text),
        })
    }

    /// The name of the element that the path leads to.
    pub(super) fn last_name(&self) -> &str {
        self.expression.last_name().unwrap_or_default()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        for (text, name) in [
            ("Patient.birthDate", "birthDate"),
            ("Patient.contact[0].name.given[1]", "given"),
            (
                "name.where(use = 'official' and period.start < @2020).given",
                "given",
            ),
            (
                "identifier.where(system='a' and value!='b' or use.exists()).first()",
                "identifier",
            ),
            ("Patient.extension('http://x').value", "value"),
            ("Patient.extension('http://x')", "extension"),
            ("Observation.value.ofType(Quantity).value", "value"),
            ("(Observation.value as Quantity).value", "value"),
            ("item.descendants().where(linkId = 'x').text", "text"),
            ("`div`.last()", "div"),
        ] {
            assert_eq!(Path::parse(text).unwrap().last_name(), name, "{text}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in [
            "",
            "Patient.",
            "Patient.name.given + 'x'",
            "Patient.name.count()",
            "Patient.name.exists()",
            "Patient.name.select(given)",
            "Patient.managingOrganization.resolve().name",
            "'x'",
            "%resource.name",
            "Patient.name.where(use 'x')",
            "Patient name",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&"a.".repeat(3_000)).is_err());
    }
}
