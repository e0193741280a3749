//! `/admin/tokens`, `backup`, `keys`, `reindex`, `scrub`, `audit` and `jobs`: what subcommands ask
//! of a running gateway. JSON, administrators only.

use super::exchange::Answer;
use super::request::Front;
use super::tokens::{Role, Token};
use bytes::Bytes;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::telemetry::Happening;
use gateway_repository::{ChainsPlace, JobOrder, JobState, Repository};
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Body of `POST /admin/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// Its answer: the secret is told once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MadeToken {
    pub token: String,
}

/// Answer of `/admin/reindex`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct IndexProgress {
    /// Every search is answered by the index.
    pub is_whole: bool,
    /// Resources looked at, of how many; deleted ones included.
    pub looked_at: u64,
    pub of: u64,
}

/// `POST tokens` makes, `GET tokens` lists, `DELETE tokens/{name}` revokes.
pub fn answer(
    front: &Front,
    method: &Method,
    names: &[String],
    body: &Bytes,
) -> Result<Answer, Failure> {
    match (method, names) {
        (&Method::GET, []) => json(200, &front.auth.list()),
        (&Method::POST, []) => create(front, body),
        (&Method::DELETE, [name]) => revoke(front, name),
        _ => {
            let text = "tokens are listed (GET), made (POST) and revoked (DELETE tokens/{name})";
            let code = IssueCode::NotSupported;
            Err(Failure::new(
                Category::MethodNotAllowed,
                "E-ADMIN-1",
                code,
                text,
            ))
        }
    }
}

/// `GET reindex` tells how far the search index is; `POST reindex` has it made anew.
pub async fn reindex(front: &Front, method: &Method) -> Result<Answer, Failure> {
    let repository = &front.surface.repository;
    let status = match *method {
        Method::GET => 200,
        Method::POST => {
            repository.doubt_index().await?;
            202
        }
        _ => {
            let text = "the index is looked at (GET) and made anew (POST)";
            let code = IssueCode::NotSupported;
            return Err(Failure::new(
                Category::MethodNotAllowed,
                "E-ADMIN-16",
                code,
                text,
            ));
        }
    };
    let state = repository.index_state()?;
    let progress = IndexProgress {
        is_whole: state.is_whole,
        looked_at: state.looked_at,
        of: state.of,
    };
    json(status, &progress)
}

/// `GET scrub` tells how it stands with looking over everything stored; `POST scrub` has it done now.
pub fn scrub(front: &Front, method: &Method) -> Result<Answer, Failure> {
    let repository = &front.surface.repository;
    let status = match *method {
        Method::GET => 200,
        Method::POST => {
            repository.ask_scrub();
            202
        }
        _ => {
            let text = "a look over everything stored is told of (GET) and asked for (POST)";
            let code = IssueCode::NotSupported;
            return Err(Failure::new(
                Category::MethodNotAllowed,
                "E-ADMIN-17",
                code,
                text,
            ));
        }
    };
    json(status, &repository.scrub_state()?)
}

/// Steps of one answer: a second or two.
const CHAIN_STEPS: usize = 100;

/// `POST audit` walks a part of the change log and the audit, and tells where the next part begins.
pub fn audit(front: &Front, method: &Method, body: &Bytes) -> Result<Answer, Failure> {
    if *method != Method::POST {
        let text = "the change log and the audit are walked over (POST)";
        let code = IssueCode::NotSupported;
        return Err(Failure::new(
            Category::MethodNotAllowed,
            "E-ADMIN-18",
            code,
            text,
        ));
    }
    let from: ChainsPlace = serde_json::from_slice(body).map_err(|e| {
        let text = format!("the body must say where to begin: {e}");
        Failure::new(
            Category::Incorrect,
            "E-ADMIN-19",
            IssueCode::Structure,
            text,
        )
    })?;
    let repository = &front.surface.repository;
    let looked =
        tokio::task::block_in_place(|| repository.look_at_chains(Some(from), CHAIN_STEPS))?;
    json(200, &looked)
}

/// One of the exports and imports; what was asked for, which may name patients, is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobRow {
    pub id: String,
    pub kind: String,
    pub state: String,
    /// Name of the token.
    pub owner: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: i64,
}

/// Everybody's, oldest first.
pub fn job_rows(repository: &Repository) -> Result<Vec<JobRow>, Failure> {
    let mut jobs = repository.all_jobs()?;
    jobs.sort_by_key(|(id, job)| (job.created_ms, *id));
    let rows = jobs.into_iter().map(|(id, job)| JobRow {
        id: id.to_string(),
        kind: match job.order {
            JobOrder::Export(_) => "export".to_owned(),
            JobOrder::Import(_) => "import".to_owned(),
        },
        state: match job.state {
            JobState::Receiving => "receiving".to_owned(),
            JobState::Waiting => "waiting".to_owned(),
            JobState::Running { .. } => "running".to_owned(),
            JobState::Done { .. } => "done".to_owned(),
            JobState::Failed { .. } => "failed".to_owned(),
        },
        owner: job.owner,
        created_ms: job.created_ms,
    });
    Ok(rows.collect())
}

/// `GET jobs` lists them, `DELETE jobs/{id}` ends one.
pub async fn jobs(front: &Front, method: &Method, names: &[String]) -> Result<Answer, Failure> {
    let repository = &front.surface.repository;
    match (method, names) {
        (&Method::GET, []) => json(200, &job_rows(repository)?),
        (&Method::DELETE, [id]) => {
            repository.end_job(id).await?;
            json::<[JobRow; 0]>(200, &[])
        }
        _ => {
            let text = "jobs are listed (GET) and ended (DELETE jobs/{id})";
            let code = IssueCode::NotSupported;
            Err(Failure::new(
                Category::MethodNotAllowed,
                "E-ADMIN-20",
                code,
                text,
            ))
        }
    }
}

fn create(front: &Front, body: &Bytes) -> Result<Answer, Failure> {
    let new: NewToken = serde_json::from_slice(body).map_err(|e| {
        let text = format!("the body must give name and role: {e}");
        Failure::new(Category::Incorrect, "E-ADMIN-2", IssueCode::Structure, text)
    })?;
    let auth = &front.auth;
    let token = tokio::task::block_in_place(|| auth.create(&new.name, new.role, new.expires_ms))?;
    let (action, name) = ("create", new.name.as_str());
    front
        .telemetry
        .note(&Happening::TokenChanged { action, name });
    json(201, &MadeToken { token })
}

fn revoke(front: &Front, name: &str) -> Result<Answer, Failure> {
    tokio::task::block_in_place(|| front.auth.revoke(name))?;
    let action = "revoke";
    front
        .telemetry
        .note(&Happening::TokenChanged { action, name });
    json::<[Token; 0]>(200, &[])
}

/// Body of `POST /admin/backup`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBackup {
    #[serde(default)]
    folder: Option<PathBuf>,
}

/// `GET` tells how it stands with the backups, `POST` asks for one.
pub fn backup(front: &Front, method: &Method, body: &Bytes) -> Result<Answer, Failure> {
    match *method {
        Method::GET => json(200, &front.backups.state()),
        Method::POST => {
            let asked: NewBackup = serde_json::from_slice(body).map_err(|e| {
                let text = format!("the body may give a folder: {e}");
                Failure::new(
                    Category::Incorrect,
                    "E-ADMIN-11",
                    IssueCode::Structure,
                    text,
                )
            })?;
            json(202, &front.backups.ask(asked.folder)?)
        }
        _ => {
            let text = "backups are asked for (POST) and told of (GET)";
            let code = IssueCode::NotSupported;
            Err(Failure::new(
                Category::MethodNotAllowed,
                "E-ADMIN-12",
                code,
                text,
            ))
        }
    }
}

/// `POST` puts another master key in the place of the present one.
pub fn rotate_key(front: &Front, method: &Method) -> Result<Answer, Failure> {
    if *method != Method::POST {
        let text = "the master key is changed (POST), never told";
        let code = IssueCode::NotSupported;
        return Err(Failure::new(
            Category::MethodNotAllowed,
            "E-ADMIN-13",
            code,
            text,
        ));
    }
    tokio::task::block_in_place(|| front.backups.rotate_key())?;
    json(200, &serde_json::json!({ "changed": true }))
}

fn json<T: Serialize + ?Sized>(status: u16, value: &T) -> Result<Answer, Failure> {
    let body = serde_json::to_vec(value).map_err(|e| {
        Failure::new(
            Category::Fault,
            "E-ADMIN-3",
            IssueCode::Exception,
            e.to_string(),
        )
    })?;
    let content_type = HeaderValue::from_static("application/json");
    Ok(Answer {
        status,
        headers: vec![(header::CONTENT_TYPE, content_type)],
        body,
    })
}
