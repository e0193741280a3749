//! Carrying out an import: each input is read piece by piece, from the web or from a file, and goes
//! in by groups of lines. What breaks off is tried again, and an input that cannot be read at all
//! ends with its reason and stops no other.
//! <https://github.com/smart-on-fhir/bulk-import>

mod lines;
mod source;

use gateway_ground::failure::{Category, Failure};
use gateway_ground::link::retry;
use gateway_ground::link::wire::Wire;
use gateway_ground::space::SpaceWatch;
use gateway_repository::{
    Actor, ImportBatch, ImportCheck, ImportInput, ImportOrder, ImportSources, JobState, Repository,
    UPLOAD_URL,
};
use lines::Lines;
use source::Source;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What the site allows, and how it judges.
pub struct ImportSettings {
    pub sources: ImportSources,
    pub check: ImportCheck,
    /// Imports under way wait while the disk has no room for them.
    pub space: Arc<SpaceWatch>,
}

/// Bytes of lines that go in together.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How often a source is tried again without any progress.
const SOURCE_TRIES_MAX: u32 = 6;
const SOURCE_WAIT_CAP_MS: u64 = 15_000;
/// How often a site that is busy is asked again for one group.
const BUSY_TRIES_MAX: u32 = 60;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Why an input is not read to its end.
enum Trouble {
    /// May be better the next time.
    Source(String),
    /// Never will.
    Refused(String),
    Site(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Site(failure)
    }
}

/// The job is there still.
type IsThere = bool;

/// From where the job stands to its end, or until it is cancelled.
pub async fn run(
    settings: &ImportSettings,
    repository: &Repository,
    job: Uuid,
) -> Result<(), Failure> {
    let Some((order, actor)) = repository.import_order(&job)? else {
        return Ok(());
    };
    let running = JobState::Running { percent: 0 };
    let mut is_there = repository.set_job(job, running, Vec::new()).await?;
    let desk = Desk {
        settings,
        repository,
        wire: Wire::open(),
        job,
        actor,
        order: &order,
    };
    for (number, input) in (0_u32..).zip(&order.inputs) {
        is_there = is_there && desk.input(number, input).await?;
    }
    if is_there {
        let ended_ms = repository.clock().now_ms();
        let done = JobState::Done { ended_ms };
        repository.set_job(job, done, Vec::new()).await?;
        repository.forget_upload(job).await?;
    }
    Ok(())
}

struct Desk<'a> {
    settings: &'a ImportSettings,
    repository: &'a Repository,
    wire: Wire,
    job: Uuid,
    actor: Actor,
    order: &'a ImportOrder,
}

impl Desk<'_> {
    async fn input(&self, number: u32, input: &ImportInput) -> Result<IsThere, Failure> {
        let mut tries = 0;
        let mut came_to = 0;
        loop {
            let mark = self.repository.import_mark(&self.job, number)?;
            if mark.is_ended {
                return Ok(true);
            }
            if mark.lines > came_to {
                (came_to, tries) = (mark.lines, 0);
            }
            let reason = match self.read(number, input, mark.lines).await {
                Ok(is_there) => return Ok(is_there),
                Err(Trouble::Site(failure)) => return Err(failure),
                Err(Trouble::Source(_)) if tries < SOURCE_TRIES_MAX => {
                    let wait = retry::wait_ms(tries + 1, SOURCE_WAIT_CAP_MS, retry::random());
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    tries += 1;
                    continue;
                }
                Err(Trouble::Source(reason) | Trouble::Refused(reason)) => reason,
            };
            let (repository, job) = (self.repository, self.job);
            return repository.end_import_input(job, number, reason).await;
        }
    }

    /// Reads from the start, and leaves out the lines that are in.
    async fn read(&self, number: u32, input: &ImportInput, done: u64) -> Result<IsThere, Trouble> {
        let mut source = self.source(input).await?;
        let mut lines = Lines::default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let piece = source.next().await?;
            let is_last = piece.is_none();
            match piece {
                Some(piece) => lines.push(&piece),
                None => lines.finish(),
            }
            while let Some((line, content)) = lines.next() {
                if line <= done {
                    continue;
                }
                bytes += content.as_ref().map_or(0, Vec::len);
                batch.push((line, content));
                if batch.len() >= self.order.together || bytes >= BATCH_BYTES_MAX {
                    bytes = 0;
                    if !self.take(number, std::mem::take(&mut batch), false).await? {
                        return Ok(false);
                    }
                }
            }
            if is_last {
                return Ok(self.take(number, batch, true).await?);
            }
        }
    }

    async fn source(&self, input: &ImportInput) -> Result<Source, Trouble> {
        if input.url == UPLOAD_URL {
            return Ok(Source::Upload(self.repository.clone(), self.job, 0));
        }
        let place = self.settings.sources.place(&input.url);
        let place = place.map_err(|reason| Trouble::Refused(format!("the URL {reason}")))?;
        Source::open(&self.wire, place, input.etag.as_deref()).await
    }

    /// Waits for room on the disk; false when the job was cancelled meanwhile.
    async fn has_room(&self) -> Result<IsThere, Failure> {
        while self.settings.space.check_bulk().is_err() {
            if self.repository.import_order(&self.job)?.is_none() {
                return Ok(false);
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        Ok(true)
    }

    async fn take(
        &self,
        input: u32,
        lines: Vec<gateway_repository::ImportLine>,
        is_last: bool,
    ) -> Result<IsThere, Failure> {
        if !self.has_room().await? {
            return Ok(false);
        }
        let mut tries = 0;
        loop {
            let batch = ImportBatch {
                job: self.job,
                input,
                lines: lines.clone(),
                is_last,
            };
            let asked = (&self.actor, self.order);
            let taken = self
                .repository
                .import_lines(asked, batch, &self.settings.check);
            match taken.await {
                Ok(mark) => return Ok(mark.is_some()),
                Err(failure) if is_passing(&failure) && tries < BUSY_TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Waiting helps.
fn is_passing(failure: &Failure) -> bool {
    matches!(
        failure.category,
        Category::Busy | Category::Throttled | Category::DiskFull | Category::PreconditionFailed
    )
}
