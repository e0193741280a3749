//! The `wayside` binary: command line, configuration and the app that starts the columns.
//!
//! Arrows point one way: main > cli > app > { http, devices, sync, jobs } > repository > ground >
//! (store, fhir_mapping). Each column is a crate in the folder of its name. config is read by app and
//! cli, and passed down as small structs. http, devices, sync and jobs never import each other: they
//! meet through committed changes alone.

pub mod app;
pub mod cli;
pub mod config;
