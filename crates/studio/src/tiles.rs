//! The map in tiles, and weights as they are.
//!
//! At zoom z a pixel covers 2^z × 2^z pairs, and a tile 256 × 256 pixels; 0 shows single weights. A tile is computed when it is asked for
//! if that takes some milliseconds. Otherwise it is cut from a [`Sheet`]: one of the whole map if that is coarse enough, or one of its
//! own, and what is ready is sent.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regard_explain::{Evidence, Head, Map, Region, Trace};
use serde::Deserialize;

use crate::background::{ask, lock};
use crate::reply::{Refusal, Reply, bad, numbers};
use crate::sheet::Sheet;
use crate::studio::Shared;

/// Pixels along a side of a tile.
const SIDE: usize = 256;
/// Products of width 64 that are computed while somebody waits: some 30 ms of two cores.
const AT_ONCE: f64 = 2e7;
/// Pixels along a side of a sheet of a whole map, at most.
const WHOLE: usize = 1536;
/// Weights that are sent as they are, at most.
const MOST_WEIGHTS: usize = 1 << 16;
/// How long a tile waits to become exact.
const WAIT: [Duration; 4] = [Duration::from_millis(6); 4];

/// What a tile is known by in the cache.
pub(crate) type Key = (u32, usize, i32, u32, usize, usize);

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Pool {
    Mean,
    Max,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TileQuery {
    trace: u32,
    site: usize,
    /// From 0, or −1 for the mean of all.
    head: i32,
    zoom: u32,
    y: usize,
    x: usize,
    pool: Pool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightsQuery {
    trace: u32,
    site: usize,
    head: i32,
    query: usize,
    queries: usize,
    key: usize,
    keys: usize,
}

fn chosen(head: i32) -> Reply<Head> {
    match usize::try_from(head) {
        Ok(head) => Ok(Head::One(head)),
        Err(_) if head == -1 => Ok(Head::Mean),
        Err(_) => Err(bad(format!("head: {head} given, a number from 0 expected, or -1 for the mean"))),
    }
}

/// The coarsest zoom of a map: at it, one tile is enough.
fn coarsest(lengths: [usize; 2]) -> u32 {
    let tiles = lengths[0].max(lengths[1]).div_ceil(SIDE).max(1);
    tiles.next_power_of_two().trailing_zeros()
}

/// Where a tile is, and what it takes to make it.
struct Place {
    site: usize,
    head: Head,
    lengths: [usize; 2],
    within: [Range<usize>; 2],
    zoom: u32,
    /// Products of width 64.
    work: f64,
}

impl Place {
    fn of(trace: &Trace, query: &TileQuery) -> Reply<Self> {
        let head = chosen(query.head)?;
        let sites = trace.sites();
        let site =
            sites.get(query.site).ok_or(regard_explain::Error::NoSuchSite { site: query.site, sites: sites.len() })?;
        if let Head::One(head) = head
            && head >= site.heads
        {
            return Err(regard_explain::Error::NoSuchHead { site: site.name.clone(), head, heads: site.heads }.into());
        }
        let lengths = [trace.queries(site).len(), trace.keys(site).len()];
        let most = coarsest(lengths);
        if query.zoom > most {
            return Err(bad(format!("zoom: {} given, 0 to {most} expected", query.zoom)));
        }
        let span = SIDE << query.zoom;
        let part = |at: usize, length: usize| {
            let start = at.checked_mul(span).filter(|&start| start < length)?;
            Some(start..start.saturating_add(span).min(length))
        };
        let (Some(queries), Some(keys)) = (part(query.y, lengths[0]), part(query.x, lengths[1])) else {
            let given = format!("{}, {}", query.y, query.x);
            return Err(bad(format!(
                "tile: {given} given, one of {lengths:?} positions expected at zoom {}",
                query.zoom
            )));
        };
        let width = match &site.evidence {
            Evidence::Weights(_) => 16.0,
            Evidence::States(states) => states.width.max(16) as f64,
        };
        let heads = if head == Head::Mean { site.heads } else { 1 };
        let work = queries.len() as f64 * keys.len() as f64 * heads as f64 * width / 64.0;
        Ok(Self { site: query.site, head, lengths, within: [queries, keys], zoom: query.zoom, work })
    }

    /// The sheet that has this tile, and which part of it.
    fn sheet(&self, trace: &Arc<Trace>, query: &TileQuery) -> (Key, impl FnOnce() -> Sheet, [Range<usize>; 2], usize) {
        let longest = self.lengths[0].max(self.lengths[1]);
        let base = longest.div_ceil(WHOLE).next_power_of_two().trailing_zeros();
        let (zoom, y, x, within) = match self.zoom >= base {
            true => (base, usize::MAX, usize::MAX, self.lengths.map(|length| 0..length)),
            false => (self.zoom, query.y, query.x, self.within.clone()),
        };
        let stride = 1 << zoom;
        let starts = [within[0].start, within[1].start];
        let part = [0, 1].map(|side| {
            let tile = &self.within[side];
            (tile.start - starts[side]) / stride..(tile.end - starts[side]).div_ceil(stride)
        });
        let (trace, site, head) = (trace.clone(), self.site, self.head);
        let sheet = move || Sheet::new(trace, site, head, within, stride);
        ((query.trace, query.site, query.head, zoom, y, x), sheet, part, 1 << (self.zoom - zoom))
    }
}

/// Rows, columns, whether it is exact (1) or a preview (0), and how much of it is exact as a float's bits; then the pixels.
fn reply(region: &Region, pool: Pool, share: f32) -> Response {
    let Map { rows, columns, weights } = if pool == Pool::Mean { &region.mean } else { &region.max };
    numbers([*rows as u32, *columns as u32, u32::from(share == 1.0), share.to_bits()], weights)
}

/// `GET tile`
pub(crate) async fn tile(State(shared): State<Arc<Shared>>, query: Result<Query<TileQuery>, QueryRejection>) -> Reply {
    let Query(query) = query?;
    let trace = shared.trace(query.trace)?;
    let place = Place::of(&trace.trace, &query)?;
    let key: Key = (query.trace, query.site, query.head, query.zoom, query.y, query.x);
    let kept = || lock(&shared.tiles).get(&key);
    if let Some(region) = kept() {
        return Ok(reply(&region, query.pool, 1.0));
    }
    let region = if place.work <= AT_ONCE {
        let _place = shared.compute.acquire().await;
        // Somebody else may have asked for it meanwhile.
        if let Some(region) = kept() {
            return Ok(reply(&region, query.pool, 1.0));
        }
        let (trace, within) = (trace.trace.clone(), place.within.clone());
        let work = move || trace.tile(place.site, place.head, within, 1 << place.zoom);
        tokio::task::spawn_blocking(work).await??
    } else {
        let (found, sheet, part, factor) = place.sheet(&trace.trace, &query);
        let sheet = shared.sheet(found, sheet);
        ask(&sheet, &shared.background);
        for moment in WAIT {
            if sheet.settled(part[0].clone()) {
                break;
            }
            tokio::time::sleep(moment).await;
        }
        let _place = shared.compute.acquire().await;
        let cut = move || sheet.part(part, factor);
        let (region, share) = tokio::task::spawn_blocking(cut)
            .await?
            .map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
        if share < 1.0 {
            return Ok(reply(&region, query.pool, share));
        }
        region
    };
    let region = Arc::new(region);
    let bytes = region.mean.weights.len() * 2 * size_of::<f32>() + 256;
    lock(&shared.tiles).put(key, region.clone(), bytes);
    Ok(reply(&region, query.pool, 1.0))
}

/// `GET weights`: some queries' weights on some keys, exact.
pub(crate) async fn weights(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<WeightsQuery>, QueryRejection>,
) -> Reply {
    let Query(query) = query?;
    let trace = shared.trace(query.trace)?;
    let head = chosen(query.head)?;
    if query.queries.checked_mul(query.keys).is_none_or(|cells| cells > MOST_WEIGHTS) {
        return Err(bad(format!(
            "{} × {} weights are too many, at most {MOST_WEIGHTS} expected",
            query.queries, query.keys
        )));
    }
    let range = |first: usize, count: usize| first..first.saturating_add(count);
    let within = [range(query.query, query.queries), range(query.key, query.keys)];
    let _place = shared.compute.acquire().await;
    let trace = trace.trace.clone();
    let work = move || trace.weights(query.site, head, within);
    let map = tokio::task::spawn_blocking(work).await??;
    Ok(numbers([map.rows as u32, map.columns as u32, 1, 1f32.to_bits()], &map.weights))
}
