//! Code maps and unit aliases.
