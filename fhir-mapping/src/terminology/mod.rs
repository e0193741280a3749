//! Code maps and unit aliases.

pub mod flags;
pub mod systems;
pub mod units;
