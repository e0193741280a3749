//! `Subscription.channel`: how its owner is told, and whether the site allows that.

use fhir_mapping::model::Json;
use http::{HeaderName, HeaderValue, Uri, header};

/// How a match is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Channel {
    Hook(Hook),
    /// `ping` over the web sockets bound to it.
    Socket,
}

/// `rest-hook`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hook {
    /// Without trailing slash.
    pub(super) endpoint: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The resource is sent along in this form; without, only the fact.
    pub(super) content: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Xml,
}

impl Content {
    pub(super) fn mime(self) -> &'static str {
        match self {
            Content::Json => "application/fhir+json",
            Content::Xml => "application/fhir+xml",
        }
    }
}

/// Headers that the connection itself needs.
const OURS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
];

/// More headers than these nobody needs.
const HEADERS_MAX: usize = 32;

impl Channel {
    /// Reads the element; the error is for `Subscription.error`.
    pub(super) fn read(subscription: &Json, hosts: &[String]) -> Result<Channel, String> {
        let text = |name: &str| subscription.str_at(&["channel", name]);
        match text("type") {
            Some("websocket") if text("payload").is_none() => Ok(Channel::Socket),
            Some("websocket") => {
                Err("a websocket tells the fact alone; leave channel.payload out".to_owned())
            } // FHIR's own name
            Some("rest-hook") => Ok(Channel::Hook(Hook {
                endpoint: endpoint(text("endpoint").unwrap_or_default(), hosts)?,
                headers: headers(subscription)?,
                content: content(text("payload"))?, // FHIR's own name
            })),
            _ => Err("channel.type may be rest-hook or websocket here".to_owned()),
        }
    }
}

fn endpoint(text: &str, hosts: &[String]) -> Result<String, String> {
    let wrong = || "channel.endpoint must be an http or https URL without query".to_owned();
    let uri: Uri = text.parse().map_err(|_no_uri| wrong())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let (Some(host), true, None) = (uri.host(), is_web, uri.query()) else {
        return Err(wrong());
    };
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    if authority.contains('@') {
        return Err(wrong());
    }
    let is_allowed = |allowed: &String| {
        allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(authority)
    };
    if !hosts.iter().any(is_allowed) {
        return Err("this site does not allow notifications to that host; its administrator names hosts in subscriptions.hosts".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `Name: value`, split at the first colon.
fn headers(subscription: &Json) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let lines = subscription
        .get("channel")
        .map_or(&[][..], |c| c.items("header"));
    if lines.len() > HEADERS_MAX {
        return Err("channel.header is given too often".to_owned());
    }
    let wrong = || {
        "channel.header must be `Name: value`, and no header of the connection itself".to_owned()
    };
    let read = |line: &Json| {
        let (name, value) = line.as_str()?.split_once(':')?;
        let name: HeaderName = name.trim().parse().ok()?;
        let value: HeaderValue = value.trim().parse().ok()?;
        (!OURS.contains(&name)).then_some((name, value))
    };
    lines
        .iter()
        .map(|line| read(line).ok_or_else(wrong))
        .collect()
}

fn content(mime: Option<&str>) -> Result<Option<Content>, String> {
    let name = mime.map(|mime| mime.split(';').next().unwrap_or_default().trim());
    match name {
        None | Some("") => Ok(None),
        Some("application/fhir+json" | "application/json") => Ok(Some(Content::Json)),
        Some("application/fhir+xml" | "application/xml") => Ok(Some(Content::Xml)),
        Some(_) => Err(
            "channel.payload may be application/fhir+json or application/fhir+xml, or absent"
                .to_owned(),
        ), // FHIR's own name
    }
}
