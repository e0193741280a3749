//! R4's own definitions as a table: types, their elements in order, primitives, required codes.
//!
//! `table` reads `definitions/structure.txt`; `primitive` and `narrative` judge single texts.

pub(crate) mod narrative;
pub(crate) mod path;
pub(crate) mod primitive;
pub(crate) mod shape;
pub(crate) mod table;
