//! What kind each head is, of traces of any length.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use regard_explain::{HeadProfile, Trace};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::background::{Asked, Errand, ask, lock};
use crate::reply::{Reply, bad};
use crate::studio::Shared;

/// Queries that a profile is made of; of a longer axis as many, spread evenly.
const QUERIES: usize = 1024;

/// The profiles of a trace's heads, growing.
pub(crate) struct Profiles {
    trace: Arc<Trace>,
    /// Site and head, in order.
    heads: Vec<(usize, usize)>,
    found: Mutex<Found>,
    asked: Asked,
}

#[derive(Default)]
struct Found {
    profiles: Vec<HeadProfile>,
    failed: Option<String>,
}

impl Profiles {
    pub(crate) fn new(trace: Arc<Trace>) -> Self {
        let heads = trace.sites().iter().enumerate();
        let heads = heads.flat_map(|(site, found)| (0..found.heads).map(move |head| (site, head))).collect();
        Self { trace, heads, found: Mutex::default(), asked: Asked::new() }
    }

    fn json(&self) -> Value {
        let found = lock(&self.found);
        let heads: Vec<Value> = found.profiles.iter().map(head).collect();
        let longest = self.trace.sites().iter().map(|site| self.trace.queries(site).len()).max().unwrap_or(0);
        json!({ "of": self.heads.len(), "heads": heads, "failed": found.failed,
                "sampled": (longest > QUERIES).then_some(QUERIES) })
    }
}

fn head(profile: &HeadProfile) -> Value {
    let HeadProfile { site, head, entropy, first, previous, same, induction, alignment } = profile;
    json!({ "site": site, "head": head, "entropy": entropy, "first": first, "previous": previous, "same": same,
            "induction": induction, "alignment": alignment })
}

impl Errand for Profiles {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn piece(&self) -> bool {
        let next = lock(&self.found).profiles.len();
        let Some(&(site, head)) = self.heads.get(next) else { return false };
        let profile = self.trace.profile(site, head, QUERIES);
        let mut found = lock(&self.found);
        match profile {
            Ok(profile) => found.profiles.push(profile),
            Err(error) => found.failed = Some(error.to_string()),
        }
        found.failed.is_none()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadsQuery {
    trace: u32,
}

/// `GET heads`: those profiles that are known; whoever wants the others asks again.
pub(crate) async fn heads(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<HeadsQuery>, QueryRejection>,
) -> Reply<Json<Value>> {
    let trace = shared.trace(query?.0.trace)?;
    if trace.profiles.heads.len() > 1 << 16 {
        return Err(bad("the trace has too many heads to profile"));
    }
    ask(&trace.profiles, &shared.background);
    Ok(Json(trace.profiles.json()))
}
