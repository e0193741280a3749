//! One file an interaction; `run` is the door.

use super::exchange::{Answer, Exchange};
use crate::failure::Failure;
use crate::repository::Repository;

/// What interactions need besides the request.
#[derive(Clone)]
pub struct Surface {
    pub repository: Repository,
    /// Search page size when `_count` is absent, and its cap.
    pub page_size: usize,
    pub page_size_max: usize,
    /// Most entries of a Bundle.
    pub bundle_entries_max: usize,
}

/// Runs one interaction. Bundles call it for each entry of a batch.
pub async fn run(_surface: &Surface, _exchange: Exchange) -> Result<Answer, Failure> {
    unimplemented!()
}
