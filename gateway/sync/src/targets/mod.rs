//! Transports, one file for each kind of target.

pub(super) mod fhir;
mod reply;
