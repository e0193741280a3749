//! Simulated partners of a gateway, each with its own small model: none shares code with it.

pub mod analyzer;
