//! FHIR XML to and from the exact tree, by the same element table that validation uses: nothing is
//! lost on the way, numbers keep their text. <https://hl7.org/fhir/R4/xml.html>
//!
//! `source` reads XML strictly and bounded, `parse` and `format` know FHIR, `narrative` carries the
//! one piece of foreign XML that a resource holds.

mod format;
mod narrative;
mod parse;
mod source;

#[cfg(test)]
mod tests;

pub use format::{format, format_pretty};
pub use parse::parse;

const FHIR: &str = "http://hl7.org/fhir";
const XHTML: &str = "http://www.w3.org/1999/xhtml";
