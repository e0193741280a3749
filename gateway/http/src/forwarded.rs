//! The base of links as the client sees it, when proxies stand between: `Forwarded` (RFC 7239) or
//! the `X-Forwarded-*` headers, else the request's own host.

use http::HeaderMap;

/// `https://clinic.example/emr/fhir`, without slash at its end. `host` is what the request itself
/// names. A header that is malformed counts as absent.
pub(super) fn base_url(headers: &HeaderMap, host: Option<&str>, over_tls: bool) -> String {
    let told = Told::read(headers);
    let own_scheme = if over_tls { "https" } else { "http" };
    let scheme = told.scheme.unwrap_or(own_scheme);
    let (name, own_port) = split_port(told.host.or(host).unwrap_or("localhost"));
    // A proxy that names a host names its port with it, or means the default one.
    let port = own_port.or(told.port);
    let default_port = if scheme == "https" { "443" } else { "80" };
    let port = port
        .filter(|port| *port != default_port)
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let prefix = told.prefix.unwrap_or_default();
    format!("{scheme}://{name}{port}{prefix}/fhir")
}

/// Is this the name of a host, with or without port?
pub(super) fn is_authority(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(is_plain)
}

#[derive(Default)]
struct Told<'h> {
    scheme: Option<&'h str>,
    host: Option<&'h str>,
    port: Option<&'h str>,
    prefix: Option<&'h str>,
}

impl<'h> Told<'h> {
    /// What the proxy nearest to the client said: the first of each list.
    fn read(headers: &'h HeaderMap) -> Told<'h> {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            value.split(',').next().map(str::trim)
        };
        let mut told = Told {
            scheme: first("x-forwarded-proto").and_then(scheme),
            host: first("x-forwarded-host").filter(|host| is_authority(host)),
            port: first("x-forwarded-port").filter(|port| is_port(port)),
            prefix: first("x-forwarded-prefix").and_then(prefix),
        };
        for (name, value) in first("forwarded").into_iter().flat_map(pairs) {
            match name.to_ascii_lowercase().as_str() {
                "proto" => told.scheme = scheme(value).or(told.scheme),
                "host" if is_authority(value) => told.host = Some(value),
                _ => {}
            }
        }
        told
    }
}

/// `proto=https;host="a:8443"` as pairs.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"]
        .into_iter()
        .find(|scheme| scheme.eq_ignore_ascii_case(text))
}

fn prefix(text: &str) -> Option<&str> {
    let text = text.trim_end_matches('/');
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
    let is_path = text.starts_with('/') && !text.contains("//") && text.len() <= 255;
    (is_path && text.bytes().all(is_plain)).then_some(text)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Name and port; a port that was appended twice counts once.
fn split_port(host: &str) -> (&str, Option<&str>) {
    let (mut name, mut port) = (host, None);
    while let Some((before, digits)) = name.rsplit_once(':')
        && is_port(digits)
        && (!before.contains(':') || before.ends_with(']') || is_doubled(before, digits))
    {
        (name, port) = (before, Some(digits));
    }
    (name, port)
}

/// Is `a.example:443` followed by the same port again, and no bare IPv6 address?
fn is_doubled(before: &str, digits: &str) -> bool {
    let again = before.rsplit_once(':').map(|(_, port)| port);
    again == Some(digits) && before.matches(':').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[track_caller]
    fn check(host: &str, headers: &str, expected: &str) {
        let headers = headers
            .split('&')
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        assert_eq!(base_url(&headers, Some(host), false), expected);
    }

    /// Complaint 5: ports doubled, the path lost, the inner host shown.
    #[test]
    fn links_lead_back_through_the_proxy_that_the_client_came_by() {
        check("in:8080", "", "http://in:8080/fhir");
        check(
            "in:8080",
            "x-forwarded-proto: https&x-forwarded-host: clinic.example",
            "https://clinic.example/fhir",
        );
        check(
            "in:8080",
            "x-forwarded-proto: https&x-forwarded-host: clinic.example:443&x-forwarded-port: 443",
            "https://clinic.example/fhir",
        );
        check(
            "in:8080",
            "x-forwarded-proto: https&x-forwarded-host: clinic.example:8443:8443",
            "https://clinic.example:8443/fhir",
        );
        check(
            "clinic.example",
            "x-forwarded-proto: https&x-forwarded-port: 8443&x-forwarded-prefix: /emr/",
            "https://clinic.example:8443/emr/fhir",
        );
        check(
            "in:8080",
            "forwarded: for=1.2.3.4;proto=https;host=\"clinic.example:8443\", for=10.0.0.1;host=other",
            "https://clinic.example:8443/fhir",
        );
        check(
            "in:8080",
            "x-forwarded-host: a.example, b.example&x-forwarded-proto: https, http",
            "https://a.example/fhir",
        );
        check("[::1]:8080", "", "http://[::1]:8080/fhir");
        check("[::1]", "x-forwarded-port: 81", "http://[::1]:81/fhir");
    }

    #[test]
    fn a_malformed_header_counts_as_absent() {
        for headers in [
            "x-forwarded-host: a b",
            "x-forwarded-host: evil/\"x",
            "x-forwarded-proto: javascript",
            "x-forwarded-port: 80x",
            "x-forwarded-prefix: //evil.example",
            "x-forwarded-prefix: evil",
            "forwarded: host=\"<a>\";proto=ftp",
        ] {
            check("in:8080", headers, "http://in:8080/fhir");
        }
    }
}
