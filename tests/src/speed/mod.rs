//! The speed report: the box's own limits first, then the gateway, every figure as a ratio.

pub mod bare;
pub mod limits;
pub mod load;
pub mod records;
pub mod search;
