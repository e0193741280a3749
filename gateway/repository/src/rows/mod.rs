//! Rows by themselves: the state of the gateway's loops, beside any resource.

pub(super) mod standing;

use super::Repository;
use gateway_ground::failure::Failure;
use std::convert::Infallible;
use store::{CommitError, RowWrite, StoreError, WriteSet};
use tokio::sync::oneshot;

impl Repository {
    /// Commits rows and waits until they are durable.
    pub async fn commit_rows(&self, rows: Vec<RowWrite>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        let write_set = WriteSet {
            rows,
            ..WriteSet::default()
        };
        self.store().submit(
            move |_view| Ok::<_, Infallible>((write_set, ())),
            move |outcome| {
                // Nobody listens any more when the loop was stopped; the rows are durable all the same.
                let _heard = tell.send(outcome.map(|_| ()));
            },
        )?;
        match told.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(CommitError::Store(error))) => Err(error.into()),
            Ok(Err(CommitError::Refused(never))) => match never {},
            Err(_writer_gone) => Err(StoreError::Closed.into()),
        }
    }
}
