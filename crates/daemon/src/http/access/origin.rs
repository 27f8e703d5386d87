//! Whether a request means this host, and whether it comes from a page of another site.
//!
//! A browser can be tricked into calling this host under the name of another site (DNS rebinding): its `Host` is that
//! name. And a page of any site may make it send requests: it says so by `Origin` and `Sec-Fetch-Site`
//! (<https://www.w3.org/TR/fetch-metadata/>).

use std::{collections::BTreeSet, net::IpAddr};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, header},
};

use super::super::error::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names under which this host may be called, beside its addresses and `localhost`.
#[derive(Debug)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    pub(super) fn new(configured: &BTreeSet<String>) -> Self {
        Self(
            configured
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Refuses what does not mean this host, and what pages of other sites send. `local` is the address that was
    /// called.
    pub(super) fn check(&self, request: &Request, local: IpAddr) -> Result<(), ApiError> {
        let host = only(request.headers(), &header::HOST).unwrap_or_default();
        // A target with a host of its own comes before the header (RFC 9112, 3.2.2), so both must mean us.
        let target = request.uri().authority().map_or(host, |name| name.as_str());
        for authority in [host, target] {
            if !self.means_us(authority, local) {
                let host = authority.to_owned();
                return Err(ApiError::HostRefused { host });
            }
        }
        check_origin(request.headers(), host)
    }

    fn means_us(&self, authority: &str, local: IpAddr) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return address.is_loopback() || address.to_canonical() == local;
        }
        host.eq_ignore_ascii_case("localhost") || self.0.contains(&host.to_ascii_lowercase())
    }
}

/// The header's value if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// Lets through what no page sent, and pages of this very host.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), ApiError> {
    if headers.contains_key(header::ORIGIN) {
        let origin = only(headers, &header::ORIGIN).unwrap_or_default();
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(ApiError::OriginRefused);
        }
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let site = only(headers, &SEC_FETCH_SITE).unwrap_or_default();
        if site != "same-origin" && site != "none" {
            return Err(ApiError::OriginRefused);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn passes(target: &str, headers: &[(&str, &str)]) -> bool {
        let names = Names::new(&BTreeSet::from(["Box.example".to_owned()]));
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        names.check(&request, "10.0.0.1".parse().unwrap()).is_ok()
    }

    #[test]
    fn only_names_of_this_host() {
        let cases = [
            ("localhost:8080", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("127.1.2.3:1", true),
            ("[::1]:80", true),
            ("10.0.0.1:8443", true),
            ("[::ffff:10.0.0.1]", true),
            ("box.example", true),
            ("BOX.EXAMPLE:8443", true),
            ("10.0.0.2", false),
            ("0.0.0.0", false),
            ("evil.example", false),
            ("sub.box.example", false),
            ("localhost.evil.example:8080", false),
            ("localhost:80:evil", false),
            ("localhost:evil", false),
            ("user@localhost", false),
            ("localhost@evil", false),
            ("[::1", false),
            ("[::1]evil", false),
            ("2130706433", false),
            ("", false),
        ];
        for (host, expected) in cases {
            assert_eq!(passes("/v2/pods", &[("host", host)]), expected, "{host}");
        }
        assert!(!passes("/v2/pods", &[]), "none");
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert!(!passes("/v2/pods", &two), "two");
        let host = [("host", "localhost")];
        assert!(!passes("http://evil.example/v2/pods", &host));
        assert!(passes("http://127.0.0.1/v2/pods", &host));
    }

    #[test]
    fn no_pages_of_other_sites() {
        let cases = [
            ("origin", "http://localhost:8080", true),
            ("origin", "https://LOCALHOST:8080", true),
            ("origin", "http://localhost:3000", false),
            ("origin", "http://localhost", false),
            ("origin", "http://evil.example", false),
            ("origin", "null", false),
            ("origin", "", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
        ];
        for (name, value, expected) in cases {
            let headers = [("host", "localhost:8080"), (name, value)];
            assert_eq!(passes("/v2/pods", &headers), expected, "{name}: {value}");
        }
    }
}
