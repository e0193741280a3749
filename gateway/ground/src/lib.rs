//! What every column of the gateway stands on: the closed set of failures, the only clock, the key
//! file, work that lasts, what is told about the running process, and the outgoing link. Nothing here knows a resource's
//! life; nothing here imports a column.

pub mod clock;
pub mod failure;
pub mod keys;
pub mod lasting;
pub mod link;
pub mod safekeeping;
pub mod space;
pub mod telemetry;
