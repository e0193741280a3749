//! Tests any FHIR R4 server from outside: what its clients may rely on, told over HTTP alone.
//!
//! Absent here, on purpose: every crate of this workspace. The files under `cases/` are data:
//! requests, what must come back, and the section of the specification that says so. What the
//! server's CapabilityStatement does not claim is reported as not claimed, never as failed.

#![allow(clippy::disallowed_methods)] // the rule on time is the gateway's; here real time is what is measured

pub mod case;
pub mod claims;
pub mod generated;
pub mod report;
pub mod runner;
pub mod world;

mod body;
mod exact;
mod expect;
mod fill;
mod found;
mod hook;
mod needs;
pub mod select;
mod wire;
