//! Typed text: a model reads it, which takes a while and can be stopped.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::jobs::Work;
use crate::model::Model;
use crate::reply::{Refusal, Reply, bad, not_found};
use crate::studio::Shared;

/// Characters that may be typed.
const MOST_CHARACTERS: usize = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    text: String,
    /// Which explanation is wanted; the attention, if none.
    explanation: Option<String>,
}

/// `POST texts`: the number of a job, whose result is the number of a trace, or an explanation.
pub(crate) async fn type_text(
    State(shared): State<Arc<Shared>>,
    text: Result<Json<Text>, JsonRejection>,
) -> Reply<Json<Value>> {
    let Json(Text { text, explanation }) = text?;
    let model = shared.model.clone().ok_or_else(|| not_found("no model to type into"))?;
    let length = text.chars().count();
    if text.trim().is_empty() || length > MOST_CHARACTERS {
        return Err(bad(format!("text: {length} characters given, 1 to {MOST_CHARACTERS} expected")));
    }
    if let Some(unknown) = explanation.as_ref().filter(|wanted| !model.explanations().contains(wanted)) {
        return Err(bad(format!("explanation: {unknown:?} given, one of {:?} expected", model.explanations())));
    }
    let (number, work) = shared
        .jobs
        .add()
        .ok_or_else(|| Refusal(StatusCode::TOO_MANY_REQUESTS, "too many texts are waiting; try again".into()))?;
    tokio::spawn(async move {
        let _place = shared.typing.acquire().await;
        if work.cancelled() {
            return work.end(Ok(Value::Null));
        }
        let (state, at_it) = (shared.clone(), work.clone());
        let read = move || read(&state, model.as_ref(), &text, explanation.as_deref(), &at_it);
        let result = tokio::task::spawn_blocking(read).await;
        work.end(result.unwrap_or_else(|_| Err("the model stopped in the middle".into())));
    });
    Ok(Json(json!({ "job": number })))
}

fn read(
    shared: &Shared,
    model: &dyn Model,
    text: &str,
    explanation: Option<&str>,
    work: &Work,
) -> Result<Value, String> {
    match explanation {
        Some(explanation) => model.explain(text, explanation, work).map_err(|error| error.to_string()),
        None => {
            let trace = model.trace(text, work).map_err(|error| error.to_string())?;
            // A trace that nobody waits for would push out one that somebody looks at.
            let number = if work.cancelled() { None } else { Some(shared.add_typed(trace)) };
            Ok(json!({ "trace": number }))
        }
    }
}

/// `GET jobs/N`
pub(crate) async fn job(State(shared): State<Arc<Shared>>, Path(number): Path<u32>) -> Reply<Json<Value>> {
    shared.jobs.json(number).map(Json).ok_or_else(|| not_found("no such job"))
}

/// `DELETE jobs/N`
pub(crate) async fn cancel(State(shared): State<Arc<Shared>>, Path(number): Path<u32>) -> Reply<StatusCode> {
    if shared.jobs.cancel(number) { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("no such job")) }
}

/// `GET files/N`: a trace of typed text as a file, to keep.
pub(crate) async fn file(State(shared): State<Arc<Shared>>, Path(number): Path<u32>) -> Reply<Response> {
    let trace = shared.trace(number)?;
    if trace.file.is_some() {
        return Err(not_found("this trace is a file already"));
    }
    let _place = shared.compute.acquire().await;
    let bytes = tokio::task::spawn_blocking(move || trace.trace.to_bytes()).await??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"typed.trace\""),
    ];
    Ok((headers, bytes).into_response())
}
