//! From bytes to fields: the header, character sets, delimiters, escapes. Knows no segment but MSH.

pub(in crate::v2) mod charset;
pub(in crate::v2) mod header;
pub(in crate::v2) mod segments;

mod escape;
