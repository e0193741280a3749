//! A stranger's view of the gateway: what any FHIR client may rely on, told over HTTP alone.
//!
//! Absent here, on purpose: every crate of this workspace. Each file under `cases/` is one case:
//! requests, what must come back, and which claims of the CapabilityStatement that proves.

pub mod case;
pub mod runner;
pub mod statement;

mod expect;
mod wire;
