//! Answers: JSON, numbers, or a refusal in words.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A status and a sentence for people.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

pub(crate) type Reply<T = Response> = Result<T, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<regard_explain::Error> for Refusal {
    fn from(error: regard_explain::Error) -> Self {
        use regard_explain::Error::{NoSuchHead, NoSuchSite};
        let status = match error {
            NoSuchHead { .. } | NoSuchSite { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, error.to_string())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

/// Work on another thread that did not come back.
impl From<tokio::task::JoinError> for Refusal {
    fn from(_: tokio::task::JoinError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, "the work was not finished".into())
    }
}

pub(crate) fn not_found(what: impl Into<String>) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, what.into())
}

pub(crate) fn bad(what: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, what.into())
}

/// Little-endian numbers, behind a few that say what they are.
pub(crate) fn numbers(head: [u32; 4], numbers: &[f32]) -> Response {
    let mut bytes = Vec::with_capacity(16 + 4 * numbers.len());
    bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}
