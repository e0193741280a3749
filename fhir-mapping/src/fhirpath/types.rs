//! Type names in expressions, and which types specialise which.

use crate::structure::primitive::Primitive;
use crate::structure::table::table;

/// `Patient`, `FHIR.string`, `System.String`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeName {
    pub(super) space: Option<Space>,
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    System,
    Fhir,
    /// A namespace nobody knows: no item is of its types.
    Other,
}

impl TypeName {
    pub(super) fn new(space: Option<&str>, name: &str) -> TypeName {
        let space = space.map(|s| match s {
            "System" => Space::System,
            "FHIR" => Space::Fhir,
            _ => Space::Other,
        });
        TypeName {
            space,
            name: name.to_owned(),
        }
    }

    /// Whether an element of FHIR type `found` is of this type.
    pub(super) fn takes_fhir(&self, found: &str) -> bool {
        match self.space {
            None | Some(Space::Fhir) => specialises(found, &self.name),
            Some(Space::System | Space::Other) => false,
        }
    }

    /// Whether a value of System type `found` is of this type.
    pub(super) fn takes_system(&self, found: &str) -> bool {
        match self.space {
            None | Some(Space::System) => found == self.name || self.name == "Any",
            Some(Space::Fhir | Space::Other) => false,
        }
    }

    /// The same for `as` and `ofType()`, which take a primitive for its own type alone: a `code`
    /// is a `string`, but is not taken out of a collection as one.
    pub(super) fn takes_out(&self, found: &str) -> bool {
        match found.starts_with(|c: char| c.is_ascii_lowercase()) {
            true => self.space != Some(Space::System) && found == self.name,
            false => self.takes_fhir(found),
        }
    }

    /// Whether there may be items of this type.
    pub(super) fn is_known(&self) -> bool {
        let is_system = matches!(
            self.name.as_str(),
            "Boolean" | "String" | "Integer" | "Decimal" | "Date" | "DateTime" | "Time" | "Any"
        );
        match self.space {
            Some(Space::System | Space::Other) => true,
            Some(Space::Fhir) => is_fhir(&self.name),
            None => is_system || is_fhir(&self.name),
        }
    }
}

fn is_fhir(name: &str) -> bool {
    let is_other = matches!(name, "xhtml" | "MoneyQuantity" | "SimpleQuantity");
    is_other || Primitive::of(name).is_some() || table().type_named(name).is_some()
}

/// Whether `found` is `wanted` or derives from it.
pub(crate) fn specialises(found: &str, wanted: &str) -> bool {
    let mut name = found;
    for _ in 0..6 {
        if name == wanted {
            return true;
        }
        let Some(base) = base(name) else { return false };
        name = base;
    }
    false
}

/// The type that a type specialises.
pub(crate) fn base(name: &str) -> Option<&'static str> {
    Some(match name {
        "code" | "id" | "markdown" => "string",
        "url" | "canonical" | "uuid" | "oid" => "uri",
        "positiveInt" | "unsignedInt" => "integer",
        "Age" | "Count" | "Distance" | "Duration" | "MoneyQuantity" | "SimpleQuantity" => {
            "Quantity"
        }
        _ if name.starts_with(|c: char| c.is_ascii_lowercase()) => "Element",
        _ => table().type_named(name).map(|of| of.base)?,
    })
}
