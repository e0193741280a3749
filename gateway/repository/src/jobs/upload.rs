//! Lines that a client sends along when it asks for an import: kept in sealed rows as they come, so
//! that all of them are on disk when the job is accepted, and it outlives a kill. One that breaks off
//! leaves nothing.

use super::{Job, JobOrder, Lane, State, gone, read, row};
use crate::plan::commit_failure;
use crate::{Actor, ImportInput, ImportOrder, Repository};
use gateway_ground::failure::Failure;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use store::{RowWrite, Table, View, WriteSet};
use uuid::Uuid;

/// How an upload is named among the inputs of an import. No client can name it: it is no place that
/// an import may read from.
pub const UPLOAD_URL: &str = "upload:";

/// Pieces taken away in one commit: they are large.
const REMOVED_MAX: usize = 16;

/// Uploads under way in this process; others that are not finished broke off with it.
#[derive(Default)]
pub(super) struct Live {
    ids: Mutex<HashSet<Uuid>>,
}

/// One under way; dropped unfinished it is forgotten at the next look at the jobs.
pub struct Upload {
    repository: Repository,
    id: Uuid,
    /// Of the next piece.
    number: u32,
}

impl Repository {
    /// Takes a place in the queue. `together` lines will be one commit.
    pub async fn begin_upload(
        &self,
        actor: &Actor,
        request: &str,
        together: usize,
    ) -> Result<Upload, Failure> {
        let order = JobOrder::Import(ImportOrder {
            inputs: vec![ImportInput {
                url: UPLOAD_URL.to_owned(),
                resource_type: None,
                etag: None,
            }],
            together,
        });
        let upload = Upload {
            repository: self.clone(),
            id: Uuid::new_v4(),
            number: 0,
        };
        self.inner.jobs.live.insert(upload.id);
        let named = (upload.id, State::Receiving);
        self.keep_job((actor, request), order, named).await?;
        Ok(upload)
    }

    /// One piece of what was uploaded; `None` after the last.
    pub fn upload_piece(&self, job: &Uuid, number: u32) -> Result<Option<Vec<u8>>, Failure> {
        let snapshot = self.store().snapshot()?;
        Ok(snapshot.view().row(Table::Jobs, &piece_key(job, number))?)
    }

    /// The lines are in, or refused: the pieces are needed no more.
    pub async fn forget_upload(&self, job: Uuid) -> Result<(), Failure> {
        while self.forget_pieces(job).await? == REMOVED_MAX {}
        Ok(())
    }

    async fn forget_pieces(&self, job: Uuid) -> Result<usize, Failure> {
        let plan = move |view: &View<'_>| {
            let rows = view.rows(Table::Jobs, &pieces_prefix(&job), None, REMOVED_MAX)?;
            let set = WriteSet {
                rows: rows.into_iter().map(|(key, _)| gone(key)).collect(),
                ..WriteSet::default()
            };
            let count = set.rows.len();
            Ok::<_, Failure>((set, count))
        };
        Ok(self.submit(plan).await.map_err(commit_failure)?.1)
    }

    /// Is it an upload that no request of this process is sending?
    pub(super) fn is_broken_off(&self, id: &Uuid, job: &Job) -> bool {
        job.state == State::Receiving && !self.inner.jobs.live.has(id)
    }
}

impl Upload {
    /// On disk when it returns.
    pub async fn push(&mut self, piece: Vec<u8>) -> Result<(), Failure> {
        let key = piece_key(&self.id, self.number);
        let plan = move |_: &View<'_>| {
            let set = WriteSet {
                rows: vec![RowWrite {
                    table: Table::Jobs,
                    key,
                    value: Some(piece),
                }],
                ..WriteSet::default()
            };
            Ok::<_, Failure>((set, ()))
        };
        self.repository.submit(plan).await.map_err(commit_failure)?;
        self.number += 1;
        Ok(())
    }

    /// All of it came: the job waits for its turn. Gives the job's id.
    pub async fn finish(self) -> Result<String, Failure> {
        let id = self.id;
        let plan = move |view: &View<'_>| {
            let mut job = read(view, &id)?.ok_or_else(super::unknown)?;
            job.state = State::Waiting;
            let set = WriteSet {
                rows: vec![row(&id, &job)?],
                ..WriteSet::default()
            };
            Ok::<_, Failure>((set, ()))
        };
        self.repository.submit(plan).await.map_err(commit_failure)?;
        self.repository.bell(Lane::Imports).notify_one();
        Ok(id.to_string())
    }

    /// It broke off: nothing of it stays.
    pub async fn give_up(self) -> Result<(), Failure> {
        self.repository.forget_job(self.id).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.repository.inner.jobs.live.remove(&self.id);
    }
}

impl Live {
    fn insert(&self, id: Uuid) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id);
    }

    fn remove(&self, id: &Uuid) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(id);
    }

    fn has(&self, id: &Uuid) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.contains(id)
    }
}

pub(super) fn pieces_prefix(job: &Uuid) -> Vec<u8> {
    [b"u", job.as_bytes().as_slice()].concat()
}

fn piece_key(job: &Uuid, number: u32) -> Vec<u8> {
    let mut key = pieces_prefix(job);
    key.extend(number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobLane, fresh};
    use gateway_ground::clock::Clock;
    use store::{Origin, OriginKind};

    fn actor() -> Actor {
        Actor {
            name: "loader".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        }
    }

    fn rows(repository: &Repository) -> usize {
        let snapshot = repository.store().snapshot().unwrap();
        snapshot.view().count_rows(Table::Jobs, b"", 1000).unwrap()
    }

    #[tokio::test]
    async fn an_upload_is_a_job_once_it_is_whole_and_nothing_before() {
        let (repository, _folder) = fresh::repository(Clock::driven(0));
        let mut upload = repository.begin_upload(&actor(), "x", 7).await.unwrap();
        for number in 0..40 {
            upload.push(vec![number; 9]).await.unwrap();
        }
        assert_eq!(repository.next_job(JobLane::Imports).unwrap(), None);
        // It is being sent still.
        repository.expire_jobs().await.unwrap();
        assert_eq!(rows(&repository), 41);
        let id = upload.finish().await.unwrap();
        let next = repository.next_job(JobLane::Imports).unwrap().unwrap();
        assert_eq!(next.to_string(), id);
        repository.expire_jobs().await.unwrap();
        assert_eq!(
            repository.upload_piece(&next, 39).unwrap(),
            Some(vec![39; 9])
        );
        assert_eq!(repository.upload_piece(&next, 40).unwrap(), None);
        repository.forget_upload(next).await.unwrap();
        assert_eq!(rows(&repository), 1);
    }

    #[tokio::test]
    async fn what_broke_off_leaves_nothing() {
        let (repository, _folder) = fresh::repository(Clock::driven(0));
        let mut given_up = repository.begin_upload(&actor(), "x", 7).await.unwrap();
        given_up.push(vec![1]).await.unwrap();
        given_up.give_up().await.unwrap();
        assert_eq!(rows(&repository), 0);
        // A process that was killed gives nothing up.
        let mut lost = repository.begin_upload(&actor(), "x", 7).await.unwrap();
        lost.push(vec![1]).await.unwrap();
        drop(lost);
        assert_eq!(rows(&repository), 2);
        repository.expire_jobs().await.unwrap();
        assert_eq!(rows(&repository), 0);
    }
}
