//! What can be asked for, each under the token.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Json, Router};
use regard_explain::{Evidence, Trace};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::guard::{Hosts, guard};
use crate::reply::{Reply, bad, not_found};
use crate::studio::{Shared, Shown};
use crate::{heads, texts, tiles};

/// Bytes of a request's body.
const MOST_BODY: usize = 128 << 10;
/// Tokens in an answer.
const MOST_TOKENS: usize = 8192;
/// Places that a search gives at once.
const MOST_PLACES: usize = 200;
/// Characters of a token, or of a title, that are sent.
const MOST_CHARACTERS: usize = 256;

pub(crate) fn router(shared: Arc<Shared>, token: &str, port: u16) -> Router {
    let at = |path: &str| format!("/{token}/{path}");
    let own = |kind: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, kind)], text));
    let page = at("");
    Router::new()
        .route(&at(""), own("text/html; charset=utf-8", include_str!("../web/dist/index.html")))
        .route(&format!("/{token}"), get(async move || Redirect::temporary(&page)))
        .route(&at("app.js"), own("text/javascript; charset=utf-8", include_str!("../web/dist/app.js")))
        .route(&at("app.css"), own("text/css; charset=utf-8", include_str!("../web/dist/app.css")))
        .route(&at("traces"), get(traces))
        .route(&at("tokens"), get(tokens))
        .route(&at("search"), get(search))
        .route(&at("tile"), get(tiles::tile))
        .route(&at("weights"), get(tiles::weights))
        .route(&at("heads"), get(heads::heads))
        .route(&at("texts"), post(texts::type_text))
        .route(&at("jobs/{number}"), get(texts::job).delete(texts::cancel))
        .route(&at("files/{number}"), get(texts::file))
        // Browsers ask for it unasked.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .fallback(async || not_found("no such page; the address in the terminal has the token"))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(Hosts::of(port), guard))
        .with_state(shared)
}

/// Long texts are cut where they are shown.
fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn summary(number: u32, shown: &Shown) -> Value {
    let Shown { trace, file, .. } = shown;
    let axes = trace.axes().iter().map(|axis| json!({ "name": short(&axis.name), "length": axis.tokens.len() }));
    let sites = trace.sites().iter().map(|site| {
        let width = match &site.evidence {
            Evidence::Weights(_) => None,
            Evidence::States(states) => Some(states.width),
        };
        json!({ "name": short(&site.name), "layer": site.layer, "queries": site.queries, "keys": site.keys,
                "heads": site.heads, "width": width })
    });
    json!({ "number": number, "file": file, "title": short(&trace.title), "model": short(&trace.model),
            "axes": axes.collect::<Vec<_>>(), "sites": sites.collect::<Vec<_>>() })
}

/// `GET traces`: what there is to see.
async fn traces(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let traces: Vec<Value> = shared.all().iter().map(|(number, shown)| summary(*number, shown)).collect();
    let model =
        shared.model.as_ref().map(|model| json!({ "name": model.name(), "explanations": model.explanations() }));
    Json(json!({ "traces": traces, "model": model }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensQuery {
    trace: u32,
    axis: usize,
    first: usize,
    count: usize,
}

fn axis(trace: &Trace, index: usize) -> Reply<&[String]> {
    trace.axes().get(index).map(|axis| axis.tokens.as_slice()).ok_or_else(|| not_found("no such axis"))
}

/// `GET tokens`: some of an axis.
async fn tokens(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<TokensQuery>, QueryRejection>,
) -> Reply<Json<Value>> {
    let Query(query) = query?;
    let shown = shared.trace(query.trace)?;
    let tokens = axis(&shown.trace, query.axis)?;
    if query.count > MOST_TOKENS {
        return Err(bad(format!("count: {} given, at most {MOST_TOKENS} expected", query.count)));
    }
    let first = query.first.min(tokens.len());
    let part = &tokens[first..first.saturating_add(query.count).min(tokens.len())];
    Ok(Json(json!({ "first": first, "tokens": part.iter().map(|token| short(token)).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    trace: u32,
    axis: usize,
    text: String,
    from: usize,
}

/// `GET search`: places of tokens that contain a text, in whatever case, and whether there are more.
async fn search(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<SearchQuery>, QueryRejection>,
) -> Reply<impl IntoResponse> {
    let Query(query) = query?;
    let shown = shared.trace(query.trace)?;
    axis(&shown.trace, query.axis)?;
    if query.text.is_empty() || query.text.chars().count() > MOST_CHARACTERS {
        return Err(bad(format!("text: 1 to {MOST_CHARACTERS} characters expected")));
    }
    let _place = shared.compute.acquire().await;
    let places = move || {
        let (wanted, tokens) = (query.text.to_lowercase(), &shown.trace.axes()[query.axis].tokens);
        let found =
            tokens.iter().enumerate().skip(query.from).filter(|(_, token)| token.to_lowercase().contains(&wanted));
        found.map(|(place, _)| place).take(MOST_PLACES + 1).collect::<Vec<usize>>()
    };
    let mut places = tokio::task::spawn_blocking(places).await?;
    let more = places.len() > MOST_PLACES;
    places.truncate(MOST_PLACES);
    Ok(Json(json!({ "places": places, "more": more })))
}
