//! Who is asking: bearer tokens, browser sessions of the administration pages, or (with `--open`)
//! one fixed caller. Decided from the head of a request, before its body is read.

use super::interactions::operations::Effect;
use super::route::Interaction;
use super::tokens::{self, Role, Token, TokenDigest};
use fhir_mapping::model::IssueCode;
use gateway_ground::clock::Clock;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::keys::{format_hex, random};
use gateway_repository::Actor;
use http::{HeaderMap, header};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use store::{Origin, OriginKind, Store};
use subtle::ConstantTimeEq as _;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub role: Role,
    /// False with `--open`: there are no clients to tell apart, so no rate applies.
    pub is_limited: bool,
}

/// A signed-in browser. Forms must send `form_key` back, so that no other site can post them.
#[derive(Clone, Debug)]
pub struct Session {
    pub caller: Caller,
    pub form_key: String,
}

/// All tokens of the site in memory; changes go to the store first.
pub struct Auth {
    store: Store,
    clock: Clock,
    is_open: bool,
    tokens: RwLock<HashMap<TokenDigest, Token>>,
    sessions: Mutex<HashMap<TokenDigest, OpenSession>>,
}

struct OpenSession {
    token: TokenDigest,
    form_key: String,
    expires_ms: i64,
}

/// A browser session ends with the working day.
const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
const SESSIONS_MAX: usize = 1000;
const SESSION_COOKIE: &str = "wayside_session";

impl Auth {
    /// Reads all tokens. `is_open` lets everybody in as one fixed administrator.
    pub fn load(store: Store, clock: Clock, is_open: bool) -> Result<Auth, Failure> {
        let snapshot = store.snapshot()?;
        let tokens = tokens::list(&snapshot.view())?.into_iter().collect();
        drop(snapshot);
        Ok(Auth {
            store,
            clock,
            is_open,
            tokens: RwLock::new(tokens),
            sessions: Mutex::new(HashMap::new()),
        })
    }

    /// The caller named by `Authorization`; 401 for everything that is not a valid bearer token.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        if self.is_open {
            return Ok(open_caller());
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthenticated("E-AUTH-1", "a bearer token is needed"));
        };
        let secret = value.to_str().ok().and_then(bearer);
        let found = secret.and_then(|secret| self.caller_of(&tokens::digest(secret)));
        found.ok_or_else(|| unauthenticated("E-AUTH-2", "the token is not known or has expired"))
    }

    /// Signs a browser in with a token; gives the value of `Set-Cookie`.
    pub fn open_session(&self, secret: &str, over_tls: bool) -> Result<String, Failure> {
        let token = tokens::digest(secret.trim());
        if !self.is_open && self.caller_of(&token).is_none() {
            return Err(unauthenticated(
                "E-AUTH-3",
                "the token is not known or has expired",
            ));
        }
        let cookie = random_text();
        let session = OpenSession {
            token,
            form_key: random_text(),
            expires_ms: self.clock.now_ms() + SESSION_MS,
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_ms();
        sessions.retain(|_, session| session.expires_ms > now_ms);
        if sessions.len() >= SESSIONS_MAX {
            return Err(too_many_sessions());
        }
        sessions.insert(tokens::digest(&cookie), session);
        let secure = if over_tls { "; Secure" } else { "" };
        let attributes = "Path=/admin; HttpOnly; SameSite=Strict; Max-Age=43200";
        Ok(format!("{SESSION_COOKIE}={cookie}; {attributes}{secure}"))
    }

    /// The session of the request's cookie, while its token is valid. With `--open` everybody has
    /// one.
    pub fn session(&self, headers: &HeaderMap) -> Option<Session> {
        if self.is_open {
            let form_key = "open".to_owned();
            return Some(Session {
                caller: open_caller(),
                form_key,
            });
        }
        let digest = tokens::digest(session_cookie(headers)?);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&digest)?;
        if session.expires_ms <= self.clock.now_ms() {
            return None;
        }
        let caller = self.caller_of(&session.token)?;
        let form_key = session.form_key.clone();
        Some(Session { caller, form_key })
    }

    /// Ends the request's session, if any.
    pub fn close_session(&self, headers: &HeaderMap) {
        if let Some(cookie) = session_cookie(headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.remove(&tokens::digest(cookie));
        }
    }

    /// Makes a token and gives its secret, which is not kept. Blocks until durable.
    pub fn create(
        &self,
        name: &str,
        role: Role,
        expires_ms: Option<i64>,
    ) -> Result<String, Failure> {
        let secret = tokens::make_secret();
        let token = Token {
            name: name.to_owned(),
            role,
            created_ms: self.clock.now_ms(),
            expires_ms,
        };
        tokens::create(&self.store, &secret, token.clone())?;
        let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(tokens::digest(&secret), token);
        Ok(secret)
    }

    /// Revokes a token; requests with it are refused from now on. Blocks until durable.
    pub fn revoke(&self, name: &str) -> Result<(), Failure> {
        tokens::revoke(&self.store, name)?;
        let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, token| token.name != name);
        Ok(())
    }

    /// All tokens by name.
    pub fn list(&self) -> Vec<Token> {
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let mut tokens: Vec<Token> = known.values().cloned().collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    fn caller_of(&self, digest: &TokenDigest) -> Option<Caller> {
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let (kept, token) = known.get_key_value(digest)?;
        let is_same = bool::from(kept.ct_eq(digest));
        let is_valid = token.expires_ms.is_none_or(|at| at > self.clock.now_ms());
        (is_same && is_valid).then(|| Caller {
            name: token.name.clone(),
            role: token.role,
            is_limited: true,
        })
    }
}

impl Caller {
    /// Refuses (403) what the role does not allow.
    pub fn permit(&self, interaction: &Interaction) -> Result<(), Failure> {
        let is_permitted = match interaction {
            Interaction::Capabilities
            | Interaction::Read { .. }
            | Interaction::Vread { .. }
            | Interaction::History { .. }
            | Interaction::TypeHistory { .. }
            | Interaction::SystemHistory
            | Interaction::JobStatus { .. }
            | Interaction::JobCancel { .. }
            | Interaction::JobFile { .. }
            | Interaction::Search { .. }
            | Interaction::SearchSystem
            | Interaction::SearchCompartment(_) => true,
            Interaction::Create { .. }
            | Interaction::Update { .. }
            | Interaction::UpdateWhere { .. }
            | Interaction::Patch { .. }
            | Interaction::PatchWhere { .. }
            | Interaction::Delete { .. }
            | Interaction::DeleteWhere { .. }
            | Interaction::Bundle => matches!(self.role, Role::Client | Role::Admin),
            Interaction::Operation(call) => match call.operation.effect {
                Effect::Reads | Effect::Asks => true,
                Effect::Writes => matches!(self.role, Role::Client | Role::Admin),
                Effect::Decides => matches!(self.role, Role::Reviewer | Role::Admin),
                Effect::Administers => self.role == Role::Admin,
            },
        };
        if is_permitted {
            return Ok(());
        }
        let text = "the token's role does not allow this; ask an administrator for another token";
        Err(Failure::new(
            Category::Forbidden,
            "E-AUTH-4",
            IssueCode::Forbidden,
            text,
        ))
    }

    /// Refuses (403) everybody but administrators.
    pub fn require_admin(&self) -> Result<(), Failure> {
        if self.role == Role::Admin {
            return Ok(());
        }
        let text = "only an administrator's token allows this";
        Err(Failure::new(
            Category::Forbidden,
            "E-AUTH-5",
            IssueCode::Forbidden,
            text,
        ))
    }

    /// How this caller stands in origin and audit.
    pub fn actor(&self, interaction: &Interaction) -> Actor {
        let kind = match interaction {
            Interaction::Operation(call) if call.operation.effect == Effect::Decides => {
                OriginKind::Reviewer
            }
            _ => OriginKind::Client,
        };
        Actor {
            name: self.name.clone(),
            origin: Origin { kind, number: 0 },
        }
    }
}

fn open_caller() -> Caller {
    Caller {
        name: "open".to_owned(),
        role: Role::Admin,
        is_limited: false,
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies.filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

fn random_text() -> String {
    let mut bytes = [0; 32];
    random(&mut bytes);
    format_hex(&bytes)
}

fn unauthenticated(number: &'static str, text: &str) -> Failure {
    Failure::new(Category::Unauthenticated, number, IssueCode::Login, text)
}

fn too_many_sessions() -> Failure {
    let text = "too many browsers are signed in; sign one out";
    Failure::new(Category::Busy, "E-AUTH-6", IssueCode::Throttled, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::operations::Call;

    #[track_caller]
    fn check_bearer(value: &str, expected: Option<&str>) {
        assert_eq!(bearer(value), expected);
    }

    #[test]
    fn bearer_tokens_are_read_from_the_header() {
        check_bearer("Bearer abc", Some("abc"));
        check_bearer("bearer  abc ", Some("abc"));
        check_bearer("Basic abc", None);
        check_bearer("Bearer", None);
        check_bearer("", None);
    }

    #[track_caller]
    fn check_permit(role: Role, expected: [bool; 4]) {
        let caller = Caller {
            name: "x".to_owned(),
            role,
            is_limited: true,
        };
        let resource_type = || "Patient".to_owned();
        let asked = [
            Interaction::Search {
                resource_type: resource_type(),
            },
            Interaction::Create {
                resource_type: resource_type(),
            },
            Interaction::Bundle,
            Interaction::Operation(Call::resolve("1")),
        ];
        assert_eq!(
            asked.map(|interaction| caller.permit(&interaction).is_ok()),
            expected
        );
    }

    #[test]
    fn roles_allow_what_they_say() {
        check_permit(Role::Reader, [true, false, false, false]);
        check_permit(Role::Client, [true, true, true, false]);
        check_permit(Role::Reviewer, [true, false, false, true]);
        check_permit(Role::Admin, [true, true, true, true]);
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "a=1; wayside_session=xyz; b=2".parse().unwrap(),
        );
        assert_eq!(session_cookie(&headers), Some("xyz"));
    }
}
