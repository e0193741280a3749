//! `/livez`, `/readyz`, `/metrics`: for machines that watch this one.

use super::media::Form;
use super::request::{Front, Peer};
use super::respond::{self, Reply};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::space::Stage;
use http::request::Parts;
use http::{HeaderValue, Method, header};

/// Content type of OpenMetrics text.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// `None` when the path is none of the three.
pub fn answer(front: &Front, path: &str, head: &Parts, peer: Peer) -> Option<Reply> {
    if !matches!(path, "/livez" | "/readyz" | "/metrics") {
        return None;
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Some(wrong_method());
    }
    Some(match path {
        "/livez" => respond::plain(200, TEXT_TYPE, "alive\n".to_owned()),
        "/readyz" => match (front.standing)() {
            Ok(()) => respond::plain(200, TEXT_TYPE, ready(front)),
            Err(why) => {
                let text = format!("not ready: the store takes no writes: {why}\n");
                respond::plain(503, TEXT_TYPE, text)
            }
        },
        _ => metrics(front, head, peer),
    })
}

/// Also how the room goes, once there is not much.
fn ready(front: &Front) -> String {
    let state = front.space.state();
    match state.stage {
        Stage::Ample => "ready\n".to_owned(),
        _ => format!("ready\ndisk: {}\n", state.words()),
    }
}

/// Free for this machine; others need a token.
fn metrics(front: &Front, head: &Parts, peer: Peer) -> Reply {
    if !peer.address.ip().is_loopback()
        && let Err(failure) = front.admit(&head.headers, peer)
    {
        return respond::refusal(&failure, &Form::default());
    }
    let text = front.telemetry.metrics(&(front.sample)());
    respond::plain(200, METRICS_TYPE, text)
}

fn wrong_method() -> Reply {
    let text = "this path knows GET and HEAD only";
    let code = IssueCode::NotSupported;
    let failure = Failure::new(Category::MethodNotAllowed, "E-HTTP-11", code, text);
    let mut reply = respond::refusal(&failure, &Form::default());
    let allow = HeaderValue::from_static("GET, HEAD");
    reply.headers_mut().insert(header::ALLOW, allow);
    reply
}
