//! Finds the patient a device message speaks of.

use super::Repository;
use crate::failure::Failure;
use fhir_mapping::draft::Demographics;
use store::ResourceKey;

/// Whom the identifiers name.
#[derive(Clone, Debug, PartialEq)]
pub enum Identified {
    One(ResourceKey),
    Nobody,
    /// Several patients, or one whose birth date or sex contradicts the message: a person decides.
    Doubtful(Vec<ResourceKey>),
}

impl Repository {
    /// Identifiers in order of preference: (system, value).
    pub fn identify_patient(
        &self,
        _identifiers: &[(String, String)],
        _demographics: &Demographics,
    ) -> Result<Identified, Failure> {
        unimplemented!()
    }
}
