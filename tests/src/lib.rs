//! Whole-system scenarios, the tidy test, and the reports that print figures.
//!
//! Everything here drives the real `wayside` binary from outside, or reads the sources as text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::string_slice
)] // a test crate: panics are its answers

pub mod client;
pub mod cuts;
pub mod damage_report;
pub mod kills;
pub mod random;
pub mod rot;
pub mod site;
pub mod source;
pub mod speed;
