//! FHIR R4 and its neighbours as values: JSON, validation, search, merging, XML, HL7 v2. Pure: same
//! input, same output; it never fails for reasons of environment.
//!
//! Absent here, on purpose: files, sockets, clocks, randomness, the store.

pub mod compartment;
pub mod conflict;
pub mod draft;
pub mod fhirpath;
pub mod model;
pub mod patch;
pub mod search;
mod structure;
pub mod subset;
pub mod terminology;
pub mod v2;
pub mod validate;
pub mod xml;
