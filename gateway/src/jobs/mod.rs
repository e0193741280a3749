//! Work that goes on beside requests and is no exchange with a target: it starts from committed
//! changes alone.

pub mod subscriptions;
