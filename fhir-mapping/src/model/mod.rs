//! The R4 JSON model: an exact tree, references, instants and findings.

mod format;
mod issue;
mod json;
mod parse;
mod reference;

#[cfg(test)]
mod tests;

pub use format::{format, format_pretty};
pub use issue::{Issue, IssueCode, Severity};
pub use json::{Json, Object};
pub use parse::{Limits, parse};
pub use reference::{Reference, is_valid_id, walk_references, walk_references_mut};
