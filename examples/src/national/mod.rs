//! A strict national FHIR server in memory, with a link that can be cut: what a gateway must cope
//! with. It keeps every version and who wrote it, so that a test can prove that each change arrived
//! once.
//!
//! It takes PUT with the client's ids, If-Match and If-None-Match, read, vread, search by
//! `_lastUpdated` in pages, and DELETE. It refuses unknown types, missing required elements, wrong
//! ids, and references to what it does not hold.

mod answer;
mod link;
mod rules;
mod shelf;

pub use link::{Backup, Behaviour, National};
pub use shelf::{By, Version};
