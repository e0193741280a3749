//! Bearer tokens: made here, kept as SHA-256 digests in the store, listed and revoked by name.

use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::keys::{format_hex, random};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::{CommitError, RowWrite, Store, StoreError, Table, View, WriteSet};

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes resources.
    Client,
    /// Reads resources.
    Reader,
    /// Reads resources and decides reviews.
    Reviewer,
    /// Everything, tokens included.
    Admin,
}

/// Whose a token is; the row under its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub role: Role,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// SHA-256 of the token's text.
pub type TokenDigest = [u8; 32];

/// Most tokens a site may have.
const TOKENS_MAX: usize = 10_000;
const NAME_LENGTH_MAX: usize = 64;

/// The digest under which a token is kept.
pub fn digest(secret: &str) -> TokenDigest {
    Sha256::digest(secret.as_bytes()).into()
}

/// A fresh secret: 256 random bits behind a mark that secret scanners can find.
pub fn make_secret() -> String {
    let mut bytes = [0; 32];
    random(&mut bytes);
    format!("wayside_{}", format_hex(&bytes))
}

/// Keeps the token; 409 when its name is taken. Blocks until durable.
pub fn create(store: &Store, secret: &str, token: Token) -> Result<(), Failure> {
    check_name(&token.name)?;
    let key = digest(secret).to_vec();
    let plan = move |view: &View<'_>| {
        let tokens = list(view)?;
        if tokens.iter().any(|(_, other)| other.name == token.name) {
            return Err(refuse(
                Category::Conflict,
                "E-TOKEN-1",
                "the name is taken; revoke it first",
            ));
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(refuse(
                Category::Conflict,
                "E-TOKEN-2",
                "too many tokens; revoke some",
            ));
        }
        let value = serde_json::to_vec(&token)
            .map_err(|e| refuse(Category::Fault, "E-TOKEN-3", &e.to_string()))?;
        let row = RowWrite {
            table: Table::Tokens,
            key,
            value: Some(value),
        };
        let audit = audit("token-create", &token.name);
        Ok((
            WriteSet {
                rows: vec![row],
                audit: vec![audit],
                ..WriteSet::default()
            },
            (),
        ))
    };
    commit(store, plan)
}

/// Takes the token away; 404 when no token has that name. Blocks until durable.
pub fn revoke(store: &Store, name: &str) -> Result<(), Failure> {
    let name = name.to_owned();
    let plan = move |view: &View<'_>| {
        let tokens = list(view)?.into_iter();
        let found = tokens.filter(|(_, token)| token.name == name);
        let rows: Vec<RowWrite> = found
            .map(|(digest, _)| RowWrite {
                table: Table::Tokens,
                key: digest.to_vec(),
                value: None,
            })
            .collect();
        if rows.is_empty() {
            return Err(refuse(
                Category::NotFound,
                "E-TOKEN-4",
                "no token has that name",
            ));
        }
        let audit = audit("token-revoke", &name);
        Ok((
            WriteSet {
                rows,
                audit: vec![audit],
                ..WriteSet::default()
            },
            (),
        ))
    };
    commit(store, plan)
}

/// All tokens with their digests, in no order that matters.
pub fn list(view: &View<'_>) -> Result<Vec<(TokenDigest, Token)>, StoreError> {
    let rows = view.rows(Table::Tokens, &[], None, TOKENS_MAX)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let digest = TokenDigest::try_from(key).ok()?;
        Some((digest, serde_json::from_slice(&value).ok()?))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

fn commit(
    store: &Store,
    plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, ()), Failure> + Send + 'static,
) -> Result<(), Failure> {
    match store.commit(plan) {
        Ok(_committed) => Ok(()),
        Err(CommitError::Refused(failure)) => Err(failure),
        Err(CommitError::Store(error)) => Err(error.into()),
    }
}

fn audit(action: &str, name: &str) -> Vec<u8> {
    serde_json::json!({ "action": action, "token": name })
        .to_string()
        .into_bytes()
}

/// Names stand in logs, metrics and audit: short and plain.
fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_alphanumeric() || "-_.@ ".contains(c);
    let sound = !name.trim().is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(plain);
    if sound {
        return Ok(());
    }
    let text = "a token's name has 1 to 64 letters, digits, blanks or -_.@";
    Err(refuse(Category::Incorrect, "E-TOKEN-5", text))
}

fn refuse(category: Category, number: &'static str, text: &str) -> Failure {
    let code = match category {
        Category::NotFound => IssueCode::NotFound,
        Category::Fault => IssueCode::Exception,
        Category::Conflict => IssueCode::Conflict,
        _ => IssueCode::Value,
    };
    Failure::new(category, number, code, text)
}
