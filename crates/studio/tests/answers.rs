//! What the server says is what the trace says.

mod common;

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, resident, trace};
use regard_explain::{Head, Trace};
use regard_studio::{Model, Open, Studio, Work};

#[test]
fn tiles_and_weights_are_those_of_the_trace() {
    let given = trace(1000, 3, 16);
    let open = Studio::new().with_trace("a.trace", given.clone()).open(0).unwrap();
    let mut client = Client::new(&open);
    let summary = client.get("traces").json();
    assert_eq!(summary["traces"][0]["sites"][0]["heads"], 3);
    assert_eq!((summary["traces"][0]["axes"][0]["length"].as_u64(), summary["model"].is_null()), (Some(1000), true));
    for (zoom, y, x, queries, keys) in [
        (0u32, 3usize, 1usize, 768..1000usize, 256..512usize),
        (1, 1, 1, 512..1000, 512..1000),
        (2, 0, 0, 0..1000, 0..1000),
    ] {
        for (head, number) in [(Head::One(2), 2), (Head::Mean, -1)] {
            let expected = given.tile(0, head, [queries.clone(), keys.clone()], 1 << zoom).unwrap();
            for (pool, map) in [("max", &expected.max), ("mean", &expected.mean)] {
                let answer =
                    client.get(&format!("tile?trace=0&site=0&head={number}&zoom={zoom}&y={y}&x={x}&pool={pool}"));
                assert_eq!(answer.words(), [map.rows as u32, map.columns as u32, 1]);
                assert_eq!(answer.floats(), map.weights);
            }
        }
    }
    let exact = client.get("weights?trace=0&site=0&head=1&query=700&queries=2&key=690&keys=12");
    assert_eq!(exact.floats(), given.weights(0, Head::One(1), [700..702, 690..702]).unwrap().weights);

    let tokens = client.get("tokens?trace=0&axis=0&first=998&count=10").json();
    assert_eq!(tokens["tokens"], serde_json::json!(["t4", "t5"]));
    let found = client.get("search?trace=0&axis=0&text=T5&from=900").json();
    assert_eq!((found["places"][0].as_u64(), found["more"].as_bool()), (Some(901), Some(false)));

    let profiles = loop {
        let answer = client.get("heads?trace=0").json();
        if answer["heads"].as_array().unwrap().len() == 3 {
            break answer;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let expected = given.profile(0, 2, 1024).unwrap();
    assert_eq!(profiles["heads"][2]["previous"].as_f64().unwrap() as f32, expected.previous.unwrap());
    assert!(profiles["sampled"].is_null());
}

#[test]
fn a_preview_becomes_exact() {
    let given = trace(9000, 1, 16);
    let open = Studio::new().with_trace("a.trace", given.clone()).open(0).unwrap();
    let mut client = Client::new(&open);
    for (zoom, y, x, queries, keys) in [(6u32, 0, 0, 0..9000usize, 0..9000usize), (5, 1, 0, 8192..9000, 0..8192)] {
        let answer = loop {
            let answer = client.get(&format!("tile?trace=0&site=0&head=0&zoom={zoom}&y={y}&x={x}&pool=max"));
            assert_eq!(answer.status, 200);
            if answer.words()[2] == 1 {
                break answer;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let expected = given.tile(0, Head::One(0), [queries, keys], 1 << zoom).unwrap();
        assert_eq!(answer.floats(), expected.max.weights);
    }
}

/// Takes its time over every word.
struct Slow;

impl Model for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn trace(&self, text: &str, work: &Work) -> Result<Trace, Box<dyn Error + Send + Sync>> {
        for (done, word) in text.split(' ').enumerate() {
            work.progress(word, done, text.split(' ').count());
            if work.cancelled() {
                return Err("cancelled".into());
            }
            match word {
                "fail" => return Err("this word cannot be read".into()),
                "panic" => panic!("a model with a mistake"),
                _ => thread::sleep(Duration::from_millis(30)),
            }
        }
        Ok(trace(text.split(' ').count(), 1, 8))
    }
}

/// A job when it has ended, and what it said on the way.
fn ended(client: &mut Client, number: u64) -> (serde_json::Value, Vec<String>) {
    let mut seen = Vec::new();
    loop {
        let now = client.get(&format!("jobs/{number}")).json();
        if now["state"] != "working" {
            return (now, seen);
        }
        seen.push(now["what"].as_str().unwrap().to_owned());
        thread::sleep(Duration::from_millis(5));
    }
}

fn typed(client: &mut Client, text: &str) -> u64 {
    client.post("texts", &serde_json::json!({ "text": text }).to_string()).json()["job"].as_u64().unwrap()
}

#[test]
fn typed_text_shows_progress_and_can_be_cancelled() {
    let open = Studio::new().with_model(Slow).open(0).unwrap();
    let mut client = Client::new(&open);
    let number = typed(&mut client, "one two three four five");
    let (end, seen) = ended(&mut client, number);
    assert_eq!((end["state"].as_str(), end["result"]["trace"].as_u64()), (Some("done"), Some(0)));
    assert!(seen.iter().any(|what| what == "three"), "{seen:?}");
    let summary = client.get("traces").json();
    assert_eq!((summary["model"]["name"].as_str(), summary["traces"][0]["file"].is_null()), (Some("slow"), true));
    let file = client.get("files/0");
    assert_eq!(Trace::from_bytes(&file.body).unwrap(), trace(5, 1, 8));

    let number = typed(&mut client, "fail");
    assert_eq!(ended(&mut client, number).0["error"], "this word cannot be read");
    let number = typed(&mut client, "panic");
    assert_eq!(ended(&mut client, number).0["state"], "failed");

    let long = typed(&mut client, &"word ".repeat(4000));
    let waiting: Vec<u64> = (0..7).map(|_| typed(&mut client, "a b")).collect();
    assert_eq!(client.post("texts", r#"{"text":"one too many"}"#).status, 429);
    let cancel = client.request("DELETE", &format!("jobs/{long}"), "");
    assert_eq!(client.raw(cancel.as_bytes()).unwrap().status, 204);
    assert_eq!(ended(&mut client, long).0["state"], "cancelled");
    for number in waiting {
        assert_eq!(ended(&mut client, number).0["state"], "done");
    }
    for bad in [r#"{"text":""}"#, r#"{"text":"a","explanation":"guess"}"#, r#"{"words":1}"#, "[", ""] {
        assert!((400..500).contains(&client.post("texts", bad).status), "{bad}");
    }
}

/// So many clients pan for so long; how many answers there were, and the milliseconds of each.
fn pan(open: &Open, clients: usize, time: Duration) -> Vec<f64> {
    let start = Arc::new(Instant::now());
    let panning = |client: usize| {
        let mut connection = Client::new(open);
        let mut times = Vec::new();
        let mut step = client;
        while start.elapsed() < time {
            let zoom = step % 5;
            let most = 4000 / (256 << zoom);
            let (y, x) = (step * 7 % (most + 1), step * 3 % (most + 1));
            let asked = Instant::now();
            let answer =
                connection.get(&format!("tile?trace=0&site=0&head={}&zoom={zoom}&y={y}&x={x}&pool=max", step % 4));
            assert_eq!(answer.status, 200, "{}", answer.head);
            let [rows, columns, _] = answer.words();
            assert_eq!(answer.body.len() as u32, 16 + 4 * rows * columns);
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            step += 1;
        }
        times
    };
    thread::scope(|scope| {
        let panning = &panning;
        let threads: Vec<_> = (0..clients).map(|client| scope.spawn(move || panning(client))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn many_clients_pan_and_nothing_is_lost() {
    let open = Studio::new().with_trace("a.trace", trace(4000, 4, 16)).open(0).unwrap();
    let answers = pan(&open, 64, Duration::from_secs(2));
    assert!(answers.len() >= 64, "{}", answers.len());
}

/// The minute that the figures are of: `cargo test --release -p regard-studio --test answers -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
fn a_minute_of_64_clients() {
    let open = Studio::new().with_trace("a.trace", trace(4000, 4, 16)).open(0).unwrap();
    pan(&open, 64, Duration::from_secs(10));
    let before = resident();
    let mut times = pan(&open, 64, Duration::from_secs(60));
    let after = resident();
    times.sort_by(f64::total_cmp);
    println!(
        "{} answers, none lost; median {:.1} ms, 99 % within {:.1} ms; memory {before:.0} MB after 10 s, {after:.0} MB after 70 s",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
    assert!(after < before + 200.0, "{before} MB became {after}");
}
