//! What a client comes back to: the state of a long task, its files, its end.
//! <https://hl7.org/fhir/R4/async.html>

use super::operations::import;
use super::{Surface, answers, aside};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{Issue, IssueCode, Json, format};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure, outcome};
use gateway_repository::{FilePieces, JOB_KEPT_MS, Job, JobFileKind, JobOrder, JobState};
use http::{HeaderName, HeaderValue, header};

pub(crate) const NDJSON: &str = "application/fhir+ndjson";
/// Of a file inside a Bundle.
const ENTRY_BYTES_MAX: usize = 8 << 20;
const PROGRESS: HeaderName = HeaderName::from_static("x-progress");

/// 202 while it runs, then the manifest.
pub(super) fn status(surface: &Surface, exchange: &Exchange, id: &str) -> Result<Answer, Failure> {
    let job = surface.repository.job(id, &exchange.actor.name)?;
    match &job.state {
        JobState::Receiving => Ok(under_way("its lines are being sent")),
        JobState::Waiting => Ok(under_way("waiting")),
        JobState::Running { percent } => Ok(under_way(&match &job.order {
            JobOrder::Export(_) => std::format!("{percent} % looked through"),
            JobOrder::Import(order) => {
                let marks = surface.repository.import_marks(id, order)?;
                let lines: u64 = marks.iter().map(|mark| mark.lines).sum();
                let refused: u64 = marks.iter().map(|mark| mark.rejected).sum();
                std::format!("{lines} lines read, {refused} refused")
            }
        })),
        JobState::Failed { text, .. } => {
            let issue = Issue::error("E-JOB-4", IssueCode::Exception, "", text.as_str());
            let body = format(&outcome(&[issue])).into_bytes();
            Ok(Answer {
                status: Category::Fault.status(),
                headers: Vec::new(),
                body,
            })
        }
        JobState::Done { ended_ms } => {
            let job_url = std::format!("{}/_jobs/{id}", exchange.base_url);
            let lists = match &job.order {
                JobOrder::Export(order) => {
                    let of = |kind| files(&job, kind, &job_url);
                    let deleted = of(JobFileKind::Deleted);
                    let deleted = order.since_ms.map(|_since| ("deleted", deleted));
                    let lists = [
                        Some(("output", of(JobFileKind::Output))),
                        Some(("error", of(JobFileKind::Error))),
                        deleted,
                    ];
                    lists.into_iter().flatten().collect()
                }
                JobOrder::Import(order) => {
                    let marks = surface.repository.import_marks(id, order)?;
                    let (output, error) = import::manifest(order, &marks, &job_url);
                    vec![("output", output), ("error", error)]
                }
            };
            Ok(manifest(&job, *ended_ms, lists))
        }
    }
}

/// 202: ended, and forgotten.
pub(super) async fn cancel(
    surface: &Surface,
    exchange: &Exchange,
    id: &str,
) -> Result<Answer, Failure> {
    surface
        .repository
        .cancel_job(id, &exchange.actor.name)
        .await?;
    Ok(answers::empty(202, None))
}

/// One file of NDJSON, as an entry of a batch: there it must be small.
pub(super) async fn file(
    surface: &Surface,
    exchange: &Exchange,
    (id, number): (&str, u32),
) -> Result<Answer, Failure> {
    let (repository, owner) = (surface.repository.clone(), exchange.actor.name.clone());
    let id = id.to_owned();
    let body = aside(move || {
        let mut body = Vec::new();
        for piece in repository.job_file(&id, number, &owner)? {
            body.extend(piece?);
            if body.len() > ENTRY_BYTES_MAX {
                return Err(too_large());
            }
        }
        Ok(body)
    })
    .await?;
    Ok(Answer {
        status: 200,
        headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON))],
        body,
    })
}

/// The same for whoever fetches it alone: pieces that are made while they are sent.
pub(crate) async fn file_pieces(
    surface: &Surface,
    owner: &str,
    (id, number): (&str, u32),
) -> Result<FilePieces, Failure> {
    let (repository, owner) = (surface.repository.clone(), owner.to_owned());
    let id = id.to_owned();
    aside(move || repository.job_file(&id, number, &owner)).await
}

fn too_large() -> Failure {
    let text = "the file is too large for an entry of a Bundle; fetch it by a request of its own";
    let code = IssueCode::TooLong;
    Failure::new(Category::TooLarge, "E-JOB-6", code, text)
}

/// 202 with the place to come back to.
pub(crate) fn accepted(base_url: &str, id: &str) -> Answer {
    let location = std::format!("{base_url}/_jobs/{id}");
    let location = HeaderValue::from_str(&location).ok();
    let location = location.map(|value| (header::CONTENT_LOCATION, value));
    Answer {
        status: 202,
        headers: location.into_iter().collect(),
        body: Vec::new(),
    }
}

fn under_way(progress: &str) -> Answer {
    let mut headers = vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))];
    headers.extend(
        HeaderValue::from_str(progress)
            .ok()
            .map(|value| (PROGRESS, value)),
    );
    Answer {
        status: 202,
        headers,
        body: Vec::new(),
    }
}

fn files(job: &Job, kind: JobFileKind, job_url: &str) -> Vec<Json> {
    let numbered = job.files.iter().enumerate();
    let numbered = numbered.filter(|(_, file)| file.kind == kind);
    let files = numbered.map(|(number, file)| {
        Json::object([
            ("type", file.resource_type.as_str().into()),
            ("url", std::format!("{job_url}/{number}").into()),
            ("count", file.count.into()),
        ])
    });
    files.collect()
}

/// The lists of files by their member's name.
type Lists = Vec<(&'static str, Vec<Json>)>;

fn manifest(job: &Job, ended_ms: i64, lists: Lists) -> Answer {
    let mut members = vec![
        ("transactionTime", format_instant(job.created_ms).into()),
        ("request", job.request.as_str().into()),
        ("requiresAccessToken", true.into()),
    ];
    let lists = lists.into_iter();
    members.extend(lists.map(|(name, list)| (name, Json::Array(list))));
    let body = Json::object(members);
    let expires = answers::http_date(ended_ms.saturating_add(JOB_KEPT_MS));
    let expires = HeaderValue::from_str(&expires).ok();
    let json = HeaderValue::from_static("application/json");
    let mut headers = vec![(header::CONTENT_TYPE, json)];
    headers.extend(expires.map(|value| (header::EXPIRES, value)));
    Answer {
        status: 200,
        headers,
        body: format(&body).into_bytes(),
    }
}
