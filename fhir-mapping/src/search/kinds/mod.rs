//! The parameter types: per file the values of one type, their terms, their tests and how they match.

pub(in crate::search) mod date;
pub(in crate::search) mod place;
pub(in crate::search) mod quantity;
pub(in crate::search) mod reference;
mod sampled;
pub(in crate::search) mod sound;
pub(in crate::search) mod string;
pub(in crate::search) mod token;
pub(in crate::search) mod uri;

pub(in crate::search) mod calendar;
pub(in crate::search) mod decimal;
pub(in crate::search) mod escape;
pub(in crate::search) mod fold;
