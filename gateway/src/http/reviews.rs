//! The pages on which a person sees a conflict and decides it.

use super::exchange::Answer;
use super::interactions::Surface;
use super::pages::PageRequest;
use crate::failure::Failure;

/// Answers `/admin/reviews` and everything below it. The caller is signed in; a POST's form key has
/// been checked. The answer brings its own `Content-Type`.
pub async fn answer(_surface: &Surface, _request: PageRequest) -> Result<Answer, Failure> {
    Ok(Answer {
        status: 501,
        headers: Vec::new(),
        body: Vec::new(),
    })
}
