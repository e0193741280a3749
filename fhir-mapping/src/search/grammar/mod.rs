//! The grammar of requests: names with chains and modifiers, `_filter`, result parameters.

mod filter;
pub(super) mod names;
pub(super) mod results;
