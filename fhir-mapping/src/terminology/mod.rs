//! Code systems, value sets and concept maps: loaded ones and R4's own; code maps and unit aliases.

pub mod base;
pub mod code_system;
pub mod concept_map;
pub mod expand;
pub mod filter;
pub mod flags;
pub mod grammar;
pub mod library;
pub(crate) mod measure;
pub mod systems;
pub mod units;
pub mod value_set;

pub use base::Base;
pub use code_system::{CodeSystem, Concept, Subsumption};
pub use concept_map::{ConceptMap, Mapping};
pub use expand::{Member, Terminology};
pub use library::Library;
pub use value_set::ValueSet;
