//! `regard view` and `regard studio` as pages: what the server says to who knows its address, and to others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use super::process::{ran, regard, text};

/// The program while it serves; it is ended with the test.
struct Serving {
    program: Child,
    url: String,
}

impl Serving {
    fn new(arguments: &[&str]) -> Self {
        let mut program = regard(arguments).arg("--no-open").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let url = lines.next().unwrap().unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self { program, url }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }
}

/// Asks for a path under a page's address, and returns the whole answer.
fn ask(page: &str, method: &str, path: &str, body: &str) -> String {
    let (host, token) = page.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let token = token.split('#').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let size = body.len();
    let head = format!("{method} /{token}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_trace_is_served_to_who_knows_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("a.trace");
    ran(&["translate", "--quiet", "The black cat sleeps.", "--trace", text(&trace)]).succeeds();
    let serving = Serving::new(&["view", text(&trace), "--site", "encoder.self", "--layer", "2", "--head", "3"]);
    assert!(serving.url.ends_with("/#site=1&head=2"), "{}", serving.url);
    let page = ask(&serving.url, "GET", "", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-security-policy"), "{page}");
    assert!(ask(&serving.url, "GET", "traces", "").contains("encoder.self"));
    assert!(ask(&serving.url.replace("/#", "0/#"), "GET", "traces", "").starts_with("HTTP/1.1 404"));
}

#[test]
fn typed_text_is_read_by_the_model() {
    let serving = Serving::new(&["studio"]);
    let started = ask(&serving.url, "POST", "texts", r#"{"text": "The black cat sleeps."}"#);
    assert!(started.starts_with("HTTP/1.1 2"), "{started}");
    let number: String = started.split("\r\n\r\n").nth(1).unwrap().chars().filter(char::is_ascii_digit).collect();
    let job = || ask(&serving.url, "GET", &format!("jobs/{number}"), "");
    while job().contains("\"working\"") {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(job().contains("\"done\""), "{}", job());
    assert!(ask(&serving.url, "GET", "traces", "").contains("decoder.cross"));
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("a.trace");
    ran(&["translate", "--quiet", "The black cat sleeps.", "--trace", text(&trace)]).succeeds();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    ran(&["view", text(&trace), "--no-open", "--port", &port]).fails(&[&port, "in use"]);
    ran(&["view", "nothing.trace", "--no-open"]).fails(&["nothing.trace", "No such file"]);
    ran(&["view", text(&trace), "--no-open", "--layer", "9"]).fails(&["layer 9"]);
    ran(&["view", text(&trace), "--queries", "1..2"]).misused("--output");
    ran(&["view", text(&trace), text(&trace), "--list"]).fails(&["one trace is listed"]);
    ran(&["studio", "--no-open", "--model", "nothing"]).fails(&["nothing"]);
}
