//! Carries search values and terms from the mapping to a write set.
