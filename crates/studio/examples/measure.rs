//! How long a trace takes to open, and its tiles to come, at each zoom: `measure FILE [TILES]`.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use regard_explain::Trace;
use regard_studio::Studio;

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Client, resident};

const SIDE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or("usage: measure FILE [TILES]")?;
    let tiles: usize = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let start = Instant::now();
    let trace = Trace::open(&file)?;
    let site = trace.sites().first().ok_or("no attention in it")?;
    let (length, heads) = (trace.keys(site).len().min(trace.queries(site).len()), site.heads);
    println!("{length} tokens, {heads} heads: opened in {:.2} s, {:.0} MB", start.elapsed().as_secs_f64(), resident());

    let open = Studio::new().with_trace(&file, trace).open(0)?;
    let mut client = Client::new(&open);
    let mut all = Vec::new();
    println!("zoom  positions a pixel  median ms  95 % ms  exact at once");
    for zoom in 0..=length.div_ceil(SIDE).next_power_of_two().trailing_zeros() {
        let across = length.div_ceil(SIDE << zoom);
        let (mut times, mut exact) = (Vec::new(), 0);
        for step in 0..tiles {
            // Places all over what a causal mask shows.
            let (y, head) = (step * 7 % across, step % heads);
            let x = step * 5 % (y + 1);
            let asked = Instant::now();
            let answer = client.get(&format!("tile?trace=0&site=0&head={head}&zoom={zoom}&y={y}&x={x}&pool=max"));
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            assert_eq!(answer.status, 200, "{}", answer.head);
            exact += answer.words()[2];
        }
        all.extend(times.clone());
        let [median, most] = quantiles(&mut times);
        println!("{zoom:>4}  {:>17}  {median:>9.1}  {most:>7.1}  {exact:>5} of {tiles}", 1 << zoom);
    }
    let [median, most] = quantiles(&mut all);
    println!("all zooms: median {median:.1} ms, 95 % {most:.1} ms; memory {:.0} MB", resident());

    let (start, zoom) = (Instant::now(), length.div_ceil(SIDE).next_power_of_two().trailing_zeros());
    let head = heads - 1;
    let fresh = Studio::new().with_trace(&file, Trace::open(&file)?).open(0)?;
    let mut client = Client::new(&fresh);
    while client.get(&format!("tile?trace=0&site=0&head={head}&zoom={zoom}&y=0&x=0&pool=max")).words()[2] == 0 {
        if start.elapsed() > Duration::from_secs(30) {
            println!("the whole map of a head is a preview for longer than 30 s");
            return Ok(());
        }
    }
    println!("the whole map of a head is exact after {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The median and the 95 % quantile.
fn quantiles(times: &mut [f64]) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() * 95 / 100]]
}
