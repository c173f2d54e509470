//! A client that says exactly what it is told to, and traces to ask for.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use regard_explain::{Evidence, Rule, Site, States, Trace};
use regard_studio::Open;
use serde_json::Value;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// What the binary answers begin with: rows, columns, whether exact.
    pub fn words(&self) -> [u32; 3] {
        [0, 1, 2].map(|word| u32::from_le_bytes(self.body[word * 4..][..4].try_into().unwrap()))
    }

    pub fn floats(&self) -> Vec<f32> {
        self.body[16..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// `host:port` and the path with the token.
pub fn address(open: &Open) -> (String, String) {
    let rest = open.url().strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

/// A connection that is used again and again.
pub struct Client {
    host: String,
    path: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn new(open: &Open) -> Self {
        let (host, path) = address(open);
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { host, path, stream: BufReader::new(stream) }
    }

    /// Sends bytes; what comes back, or nothing if the server closes.
    pub fn raw(&mut self, bytes: &[u8]) -> Option<Answer> {
        // A server that has seen enough may close before all is sent, and still answer.
        let _ = self.stream.get_mut().write_all(bytes);
        let mut head = String::new();
        loop {
            let before = head.len();
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
            if head[before..].trim().is_empty() {
                break;
            }
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer { status, head, body })
    }

    /// What asks for something under the token.
    pub fn request(&self, method: &str, what: &str, body: &str) -> String {
        let Self { host, path, .. } = self;
        let length = body.len();
        format!(
            "{method} {path}{what} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    pub fn get(&mut self, what: &str) -> Answer {
        let request = self.request("GET", what, "");
        self.raw(request.as_bytes()).expect("an answer")
    }

    pub fn post(&mut self, what: &str, body: &str) -> Answer {
        let request = self.request("POST", what, body);
        self.raw(request.as_bytes()).expect("an answer")
    }
}

/// A causal trace whose heads look at what is near, and at what is like it.
pub fn trace(length: usize, heads: usize, width: usize) -> Trace {
    let mut trace = Trace::new(format!("{length} tokens"), "made up");
    let axis = trace.add_axis("text", (0..length).map(|at| format!("t{}", at % 7)).collect());
    let number =
        |head: usize, at: usize, feature: usize| ((at * 31 + feature * 17 + head * 7) % 97) as f32 / 97.0 - 0.5;
    let all = |offset: usize| -> Vec<f32> {
        let heads = 0..heads;
        heads
            .flat_map(|head| (0..length).flat_map(move |at| (0..width).map(move |f| number(head + offset, at, f))))
            .collect()
    };
    // Scores are within ±width / 4: large enough a sum makes every weight one of a softmax with a sink.
    let lse = (0..heads * length).map(|row| ((row % length + 1) as f32).ln() + width as f32 / 4.0).collect::<Vec<_>>();
    let states = States {
        q: all(0).into(),
        k: all(3).into(),
        lse: lse.into(),
        key_heads: heads,
        width,
        scale: 1.0,
        rules: vec![Rule::CAUSAL],
        biases: vec![],
    };
    let evidence = Evidence::States(states);
    trace.add_site(Site { name: "decoder.self".into(), layer: 0, queries: axis, keys: axis, heads, evidence }).unwrap();
    trace
}

/// Memory that this process holds, in megabytes; 0 where nobody says.
pub fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
