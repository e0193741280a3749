//! Work that goes on beside requests and is no exchange with a target: it starts from committed
//! changes and from what clients asked for.

pub mod backups;
pub mod import;
pub mod orders;
pub mod places;
pub mod reindex;
pub mod scrub;
pub mod subscriptions;
