//! POST Task/{id}/$resolve: a person's decision on a conflict.

use super::Surface;
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};

pub(super) async fn answer(
    _surface: &Surface,
    _exchange: &Exchange,
    _task_id: &str,
) -> Result<Answer, Failure> {
    unimplemented!()
}
