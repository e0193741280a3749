//! Which values a search looks at: of most resources it needs a few of some twenty parameters, and
//! the others are left packed.

use super::Query;
use super::definitions::TypeDefinitions;

/// Parameters of one resource type.
#[derive(Clone, Debug)]
pub struct Looks {
    definitions: &'static TypeDefinitions,
    /// Sorted, without repeats.
    indices: Vec<u16>,
}

impl Query {
    /// The parameters that conditions and `_sort` look at.
    pub fn looks(&self) -> Looks {
        let mut looks = Looks {
            definitions: self.definitions,
            indices: Vec::new(),
        };
        for condition in &self.conditions {
            condition.note(&mut looks);
        }
        for by in &self.sort {
            looks.add(by.index);
        }
        looks
    }
}

impl Looks {
    pub(super) fn add(&mut self, index: u16) {
        if let Err(at) = self.indices.binary_search(&index) {
            self.indices.insert(at, index);
        }
    }

    pub(super) fn add_named(&mut self, parameter: &str) {
        if let Some((index, _)) = self.definitions.find(parameter) {
            self.add(index);
        }
    }

    /// Are the values of this parameter of this type looked at?
    pub(super) fn has(&self, definitions: &'static TypeDefinitions, index: u16) -> bool {
        // Of another type nothing is known here.
        !std::ptr::eq(self.definitions, definitions) || self.indices.binary_search(&index).is_ok()
    }
}
