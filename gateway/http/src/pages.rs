//! `/admin`: signing in with a token, and the door to the pages and endpoints behind it.

use super::auth::Session;
use super::exchange::Answer;
use super::interactions::operations::Call;
use super::media::Form;
use super::request::{Front, Peer, RequestBody};
use super::respond::{self, Reply};
use super::route::Interaction;
use super::{admin, body, reviews, route};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use maud::{DOCTYPE, Markup, html};

/// A page asked for by a signed-in person.
#[derive(Clone, Debug)]
pub struct PageRequest {
    pub method: Method,
    /// Decoded parts of the path after `/admin/reviews`.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    /// Pairs of the posted form, `form_key` (already checked) among them.
    pub form: Vec<(String, String)>,
    /// Every form of the page must carry `session.form_key` as hidden field `form_key`.
    pub session: Session,
}

/// Pages run no script and load nothing but their own style.
pub const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

/// Answers everything below `/admin`.
pub async fn answer<B: RequestBody>(
    front: &Front,
    path: &str,
    head: Parts,
    body: B,
    peer: Peer,
) -> Reply {
    let Ok(segments) = route::segments(path) else {
        return respond::refusal(&nothing_here(), &Form::default());
    };
    let visit = Visit { head, peer };
    let answered = match segments.split_first() {
        None => Ok(redirect("/admin/reviews")),
        Some((first, [])) if first == "login" => login(front, &visit, body).await,
        Some((first, [])) if first == "logout" => logout(front, &visit, body).await,
        Some((first, rest)) if first == "tokens" => tokens(front, &visit, rest, body).await,
        Some((first, [])) if first == "backup" || first == "keys" => {
            safekeeping(front, &visit, first == "keys", body).await
        }
        Some((first, [])) if first == "scrub" || first == "audit" => {
            integrity(front, &visit, first == "audit", body).await
        }
        Some((first, rest)) if first == "jobs" => jobs(front, &visit, rest).await,
        Some((first, [])) if first == "reindex" => reindex(front, &visit).await,
        Some((first, rest)) if first == "reviews" => review(front, &visit, rest, body).await,
        Some(_) => Err(nothing_here()),
    };
    match answered {
        Ok(answer) => respond::page(answer),
        Err(failure) => respond::refusal(&failure, &Form::default()),
    }
}

struct Visit {
    head: Parts,
    peer: Peer,
}

async fn login<B: RequestBody>(front: &Front, visit: &Visit, body: B) -> Result<Answer, Failure> {
    if visit.head.method != Method::POST {
        return Ok(page(200, &login_page(None)));
    }
    front.limits.refused(visit.peer.address.ip())?;
    let form = read_form(front, visit, body).await?;
    let secret = value_of(&form, "token").unwrap_or_default();
    match front.auth.open_session(secret, visit.peer.over_tls) {
        Ok(cookie) => {
            let mut answer = redirect("/admin/reviews");
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers.push((header::SET_COOKIE, cookie));
            }
            Ok(answer)
        }
        Err(failure) if failure.category == Category::Unauthenticated => {
            let text = "This token is not known or has expired.";
            Ok(page(401, &login_page(Some(text))))
        }
        Err(failure) => Err(failure),
    }
}

async fn logout<B: RequestBody>(front: &Front, visit: &Visit, body: B) -> Result<Answer, Failure> {
    if let Some(session) = front.auth.session(&visit.head.headers) {
        if visit.head.method != Method::POST {
            return Err(wrong_method());
        }
        check_form_key(&read_form(front, visit, body).await?, &session)?;
        front.auth.close_session(&visit.head.headers);
    }
    Ok(redirect("/admin/login"))
}

async fn tokens<B: RequestBody>(
    front: &Front,
    visit: &Visit,
    names: &[String],
    body: B,
) -> Result<Answer, Failure> {
    let caller = front.admit(&visit.head.headers, visit.peer)?;
    caller.require_admin()?;
    let bytes = body::read(&visit.head.headers, body, front.body).await?;
    admin::answer(front, &visit.head.method, names, &bytes)
}

async fn safekeeping<B: RequestBody>(
    front: &Front,
    visit: &Visit,
    about_keys: bool,
    body: B,
) -> Result<Answer, Failure> {
    let caller = front.admit(&visit.head.headers, visit.peer)?;
    caller.require_admin()?;
    let bytes = body::read(&visit.head.headers, body, front.body).await?;
    match about_keys {
        true => admin::rotate_key(front, &visit.head.method),
        false => admin::backup(front, &visit.head.method, &bytes),
    }
}

async fn integrity<B: RequestBody>(
    front: &Front,
    visit: &Visit,
    about_logs: bool,
    body: B,
) -> Result<Answer, Failure> {
    let caller = front.admit(&visit.head.headers, visit.peer)?;
    caller.require_admin()?;
    let bytes = body::read(&visit.head.headers, body, front.body).await?;
    match about_logs {
        true => admin::audit(front, &visit.head.method, &bytes),
        false => admin::scrub(front, &visit.head.method),
    }
}

async fn jobs(front: &Front, visit: &Visit, names: &[String]) -> Result<Answer, Failure> {
    let caller = front.admit(&visit.head.headers, visit.peer)?;
    caller.require_admin()?;
    admin::jobs(front, &visit.head.method, names).await
}

async fn reindex(front: &Front, visit: &Visit) -> Result<Answer, Failure> {
    let caller = front.admit(&visit.head.headers, visit.peer)?;
    caller.require_admin()?;
    admin::reindex(front, &visit.head.method).await
}

async fn review<B: RequestBody>(
    front: &Front,
    visit: &Visit,
    segments: &[String],
    body: B,
) -> Result<Answer, Failure> {
    let Some(session) = front.auth.session(&visit.head.headers) else {
        return Ok(redirect("/admin/login"));
    };
    let resolve = Interaction::Operation(Call::resolve(""));
    session.caller.permit(&resolve)?;
    let form = if visit.head.method == Method::POST {
        let form = read_form(front, visit, body).await?;
        check_form_key(&form, &session)?;
        form
    } else {
        Vec::new()
    };
    let request = PageRequest {
        method: visit.head.method.clone(),
        segments: segments.to_vec(),
        query: route::pairs(visit.head.uri.query().unwrap_or_default())?,
        form,
        session,
    };
    let mut answer = Box::pin(reviews::answer(&front.surface, request)).await?;
    answer.headers.extend(page_headers());
    Ok(answer)
}

async fn read_form<B: RequestBody>(
    front: &Front,
    visit: &Visit,
    body: B,
) -> Result<Vec<(String, String)>, Failure> {
    let bytes = body::read(&visit.head.headers, body, front.body).await?;
    let malformed = |_not_utf8| {
        let text = "the form is not UTF-8";
        Failure::new(Category::Incorrect, "E-ADMIN-4", IssueCode::Value, text)
    };
    route::pairs(std::str::from_utf8(&bytes).map_err(malformed)?)
}

fn check_form_key(form: &[(String, String)], session: &Session) -> Result<(), Failure> {
    if value_of(form, "form_key") == Some(session.form_key.as_str()) {
        return Ok(());
    }
    let text = "the form is not from this session; load the page again";
    Err(Failure::new(
        Category::Forbidden,
        "E-ADMIN-5",
        IssueCode::Forbidden,
        text,
    ))
}

fn value_of<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str())
}

fn redirect(to: &'static str) -> Answer {
    Answer {
        status: 303,
        headers: vec![(header::LOCATION, HeaderValue::from_static(to))],
        body: Vec::new(),
    }
}

/// A whole HTML page with the headers that keep it safe.
fn page(status: u16, markup: &Markup) -> Answer {
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    let mut headers = vec![(header::CONTENT_TYPE, content_type)];
    headers.extend(page_headers());
    let body = markup.0.clone().into_bytes();
    Answer {
        status,
        headers,
        body,
    }
}

fn page_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(PAGE_POLICY),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

fn login_page(problem: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Sign in - Wayside" }
                style { "body{font:16px/1.5 sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}"
                    "input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box}"
                    "button{margin-top:1rem}.problem{color:#a00}" }
            }
            body {
                main {
                    h1 { "Sign in" }
                    @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
                    form method="post" action="/admin/login" {
                        label for="token" { "Reviewer's or administrator's token" }
                        input #token name="token" type="password" required autofocus
                            autocomplete="current-password";
                        button type="submit" { "Sign in" }
                    }
                }
            }
        }
    }
}

fn wrong_method() -> Failure {
    let text = "signing out is a POST";
    Failure::new(
        Category::MethodNotAllowed,
        "E-ADMIN-6",
        IssueCode::NotSupported,
        text,
    )
}

fn nothing_here() -> Failure {
    let text = "nothing is here; see /admin/reviews";
    Failure::new(Category::NotFound, "E-ADMIN-7", IssueCode::NotFound, text)
}
