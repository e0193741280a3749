//! The only crate with sockets, clock, threads and configuration.
//!
//! Arrows point one way: main > cli > app > { http, devices, sync, jobs } > repository > (store,
//! fhir_mapping). Everyone may use failure, clock, telemetry. config is read by app and cli, and
//! passed down as small structs. http, devices, sync and jobs never import each other: they meet through
//! committed changes alone.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod devices;
pub mod failure;
pub mod http;
pub mod jobs;
pub mod keys;
mod link;
pub mod repository;
pub mod sync;
pub mod telemetry;

#[cfg(test)]
mod fresh;
