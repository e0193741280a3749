//! `/admin/tokens`: what `wayside token` asks of a running gateway. JSON, administrators only.

use super::exchange::Answer;
use super::request::Front;
use super::tokens::{Role, Token};
use bytes::Bytes;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::telemetry::Happening;
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

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
