//! What every request must have, and every answer has.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::reply::Refusal;

/// Names by which the page may be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Arc<[String; 3]>);

impl Hosts {
    pub(crate) fn of(port: u16) -> Self {
        let name = |host: &str| if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
        Self(Arc::new(["127.0.0.1", "localhost", "[::1]"].map(name)))
    }

    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Scripts, styles and pictures are the program's own, and so is who they talk to; no frame may hold the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Refuses requests for another host: a name of somebody else's that was made to point here would let their page read ours.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = given.next().and_then(|host| host.to_str().ok());
    let named = request.uri().authority().is_none_or(|authority| hosts.has(authority.as_str()));
    let mut response = match host.is_some_and(|host| hosts.has(host)) && given.next().is_none() && named {
        true => next.run(request).await,
        false => Refusal(StatusCode::MISDIRECTED_REQUEST, "this page has another address".into()).into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
