//! Sends notices to an endpoint, oldest first, until one fails.

use super::channel::{Channel, Content, Hook};
use super::subscription::Subscription;
use bytes::Bytes;
use fhir_mapping::model::{self, Limits};
use fhir_mapping::xml;
use gateway_ground::link::wire::Wire;
use gateway_repository::Notice;
use http::{Request, header};
use http_body_util::Full;
use std::sync::Arc;
use store::{Rid, StoredVersion};

/// What came of a group of notices.
pub(super) struct Outcome {
    pub(super) subscription: Rid,
    /// Arrived, or nothing is left to send of them.
    pub(super) told: Vec<Notice>,
    /// Why the next one did not arrive; names no content.
    pub(super) failure: Option<String>,
}

pub(super) async fn send(
    wire: Arc<Wire>,
    subscription: Arc<Subscription>,
    notices: Vec<(Notice, Option<StoredVersion>)>,
) -> Outcome {
    let mut outcome = Outcome {
        subscription: subscription.rid,
        told: Vec::new(),
        failure: None,
    };
    let Channel::Hook(hook) = &subscription.channel else {
        return outcome;
    };
    for (notice, stored) in notices {
        if let Err(failure) = tell(&wire, hook, stored).await {
            outcome.failure = Some(failure);
            break;
        }
        outcome.told.push(notice);
    }
    outcome
}

/// Without content a POST to the endpoint; with content an update of the resource below it.
async fn tell(wire: &Wire, hook: &Hook, stored: Option<StoredVersion>) -> Result<(), String> {
    let request = match (hook.content, stored) {
        (None, _) => Request::post(&hook.endpoint).body(Full::new(Bytes::new())),
        (Some(_), None) => return Ok(()),
        (Some(content), Some(stored)) => {
            let key = &stored.key;
            let url = format!("{}/{}/{}", hook.endpoint, key.resource_type, key.id);
            let body = rendered(content, stored.body)?;
            let content_type = format!("{}; charset=utf-8", content.mime());
            Request::put(url)
                .header(header::CONTENT_TYPE, content_type)
                .body(Full::new(body))
        }
    };
    let mut request = request.map_err(|_unusable| "the endpoint is no usable URL".to_owned())?;
    for (name, value) in &hook.headers {
        request.headers_mut().append(name, value.clone());
    }
    let reply = wire.exchange(request).await?;
    if reply.status.is_success() {
        return Ok(());
    }
    Err(format!("the endpoint answered {}", reply.status.as_u16()))
}

fn rendered(content: Content, body: Vec<u8>) -> Result<Bytes, String> {
    if content == Content::Json {
        return Ok(body.into());
    }
    let unfit = "the resource has no form in XML".to_owned();
    let tree = model::parse(&body, Limits::default()).ok();
    let text = tree.and_then(|tree| xml::format(&tree).ok());
    text.map(Bytes::from).ok_or(unfit)
}
