//! Under which names the server is asked: what it refuses because of them, and the base of its links.

use super::Peer;
use crate::forwarded::{self, is_authority};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use std::net::IpAddr;

/// Under which names this server may be asked, and what it calls itself.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Base to use in links, whatever the request says.
    pub base_url: Option<String>,
    pub names: Vec<String>,
    pub is_loopback: bool,
}

impl Hosts {
    /// Refuses names that are not ours (a web page that points its own name at this machine), and
    /// writes that another site's page sends.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Failure> {
        let Some(host) = host_of(uri, headers) else {
            let text = "the Host header is missing or malformed";
            return Err(Failure::new(
                Category::Incorrect,
                "E-HTTP-4",
                IssueCode::Value,
                text,
            ));
        };
        if !self.is_ours(name_of(host)) {
            let text = "this server is not asked under that name; see http.host_names";
            return Err(Failure::new(
                Category::Forbidden,
                "E-HTTP-5",
                IssueCode::Forbidden,
                text,
            ));
        }
        let origin = headers
            .get(header::ORIGIN)
            .map(|value| value.to_str().unwrap_or_default());
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe || origin.is_none_or(|origin| self.is_own_origin(origin, host)) {
            return Ok(());
        }
        let text = "a page of another site may not write here";
        Err(Failure::new(
            Category::Forbidden,
            "E-HTTP-6",
            IssueCode::Forbidden,
            text,
        ))
    }

    /// Is the page that asks (`Origin`) one of this server's own?
    pub(crate) fn is_own_page(&self, head: &Parts) -> bool {
        let origin = head.headers.get(header::ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let (Some(origin), Some(host)) = (origin, host_of(&head.uri, &head.headers)) else {
            return false;
        };
        self.is_own_origin(origin, host)
    }

    fn is_ours(&self, name: &str) -> bool {
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost") || is_address;
        let is_named = self
            .names
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name));
        let is_any_allowed = !self.is_loopback && self.names.is_empty();
        is_local || is_named || is_any_allowed
    }

    fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        let after_scheme = |url: &str| url.split_once("://").map(|(_, rest)| rest.to_owned());
        let Some(authority) = after_scheme(origin) else {
            return false;
        };
        let base = self.base_url.as_deref().and_then(after_scheme);
        let is_base = base.is_some_and(|base| base.split('/').next() == Some(&authority));
        is_base || authority.eq_ignore_ascii_case(host)
    }

    /// The FHIR base in links of the answer: configured, as a proxy tells, or as asked.
    pub(super) fn base_of(&self, head: &Parts, peer: Peer) -> String {
        if let Some(base) = &self.base_url {
            return base.clone();
        }
        let host = host_of(&head.uri, &head.headers);
        forwarded::base_url(&head.headers, host, peer.over_tls)
    }
}

/// `Host`, or the authority of HTTP/2.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let header = || headers.get(header::HOST)?.to_str().ok();
    authority.or_else(header).filter(|host| is_authority(host))
}

/// The name without its port; brackets stay around IPv6.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::net::SocketAddr;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn loopback() -> Hosts {
        Hosts {
            is_loopback: true,
            ..Hosts::default()
        }
    }

    #[track_caller]
    fn check_host(hosts: &Hosts, method: &str, headers: &[(&str, &str)], expected: u16) {
        let head = head(method, "/fhir/metadata", headers);
        let got = hosts.check(&head.method, &head.uri, &head.headers);
        let got = got.map_or_else(|failure| failure.category.status(), |()| 200);
        assert_eq!(got, expected, "{headers:?}");
    }

    #[test]
    fn only_own_names_and_own_pages_are_served() {
        let local = loopback();
        check_host(&local, "GET", &[("host", "127.0.0.1:8080")], 200);
        check_host(&local, "GET", &[("host", "LOCALHOST")], 200);
        check_host(&local, "GET", &[("host", "[::1]:8080")], 200);
        check_host(&local, "GET", &[("host", "evil.example:8080")], 403);
        check_host(&local, "GET", &[], 400);
        check_host(&local, "GET", &[("host", "a b")], 400);
        let foreign = [("host", "127.0.0.1:80"), ("origin", "http://evil.example")];
        check_host(&local, "POST", &foreign, 403);
        check_host(&local, "GET", &foreign, 200);
        let null = [("host", "127.0.0.1:80"), ("origin", "null")];
        check_host(&local, "POST", &null, 403);
        let own = [("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")];
        check_host(&local, "POST", &own, 200);
        let anywhere = Hosts::default();
        check_host(&anywhere, "GET", &[("host", "clinic.example")], 200);
        let named = Hosts {
            names: vec!["clinic.example".to_owned()],
            ..loopback()
        };
        check_host(&named, "GET", &[("host", "clinic.example:1")], 200);
    }

    #[track_caller]
    fn check_base(hosts: &Hosts, headers: &[(&str, &str)], expected: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let peer = Peer {
            address,
            over_tls: false,
        };
        assert_eq!(hosts.base_of(&head("GET", "/", headers), peer), expected);
    }

    #[test]
    fn the_base_is_as_the_client_sees_it() {
        let host = ("host", "127.0.0.1:8080");
        check_base(&loopback(), &[host], "http://127.0.0.1:8080/fhir");
        let proxied = [
            host,
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ];
        check_base(&loopback(), &proxied, "https://a.example/fhir");
        let odd = [host, ("x-forwarded-host", "a\"onload=")];
        check_base(&loopback(), &odd, "http://127.0.0.1:8080/fhir");
        let base_url = Some("https://b.example/fhir".to_owned());
        check_base(
            &Hosts {
                base_url,
                ..loopback()
            },
            &proxied,
            "https://b.example/fhir",
        );
    }
}
