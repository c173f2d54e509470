//! What the server refuses, and that it goes on after it has.

mod common;

use std::error::Error as _;

use common::{Client, address, trace};
use regard_explain::Trace;
use regard_studio::{Error, Open, Studio};

fn open() -> Open {
    Studio::new().with_trace("a.trace", trace(300, 2, 8)).open(0).unwrap()
}

#[test]
fn only_who_knows_the_token_and_the_host_is_answered() {
    let open = open();
    let (host, path) = address(&open);
    assert!(path.len() == 34 && path[1..33].bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}");
    let mut client = Client::new(&open);
    let mut status = |request: &str| client.raw(request.as_bytes()).unwrap().status;
    assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")), 200);
    let port = host.split_once(':').unwrap().1;
    assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")), 200);
    for wrong in ["/", "/traces", &"/0".repeat(16), &format!("{}0/traces", &path[..33]), "/../../../etc/passwd"] {
        assert_eq!(status(&format!("GET {wrong} HTTP/1.1\r\nHost: {host}\r\n\r\n")), 404, "{wrong}");
    }
    for wrong in ["evil.example", "127.0.0.1", &format!("evil.example:{port}"), &format!("{host}.evil.example"), ""] {
        assert_eq!(status(&format!("GET {path}traces HTTP/1.1\r\nHost: {wrong}\r\n\r\n")), 421, "{wrong}");
    }
    assert_eq!(status(&format!("GET http://evil.example{path} HTTP/1.1\r\nHost: {host}\r\n\r\n")), 421);
    assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n")), 421);
    assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nX: y\r\n\r\n")), 421);
    let other = self::open();
    assert_ne!(path, address(&other).1, "each start has a token of its own");
}

#[test]
fn every_answer_has_the_headers_that_browsers_obey() {
    let open = open();
    let mut client = Client::new(&open);
    for what in ["", "app.js", "app.css", "traces", "no-such-page", "tile?trace=x"] {
        let head = client.get(what).head.to_ascii_lowercase();
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
        assert!(!head.contains("unsafe-inline"));
        for header in
            ["nosniff", "x-frame-options: deny", "no-referrer", "no-store", "cross-origin-resource-policy: same-origin"]
        {
            assert!(head.contains(header), "{what}: {header} is not in {head}");
        }
    }
    let page = String::from_utf8(client.get("").body).unwrap();
    assert!(
        !page.contains("<script>") && !page.contains("style=") && !page.contains("http://"),
        "nothing inline, nothing from elsewhere"
    );
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let open = open();
    let mut client = Client::new(&open);
    let tile = |rest: &str| format!("tile?trace=0&site=0&pool=max&{rest}");
    for (what, status, words) in [
        (tile("head=0&zoom=0&y=0&x=2"), 400, "one of [300, 300] positions"),
        (tile("head=0&zoom=0&y=18446744073709551615&x=0"), 400, "positions"),
        (tile("head=0&zoom=2&y=0&x=0"), 400, "0 to 1 expected"),
        (tile("head=0&zoom=4294967295&y=0&x=0"), 400, "0 to 1 expected"),
        (tile("head=2&zoom=0&y=0&x=0"), 404, "head 2 does not exist"),
        (tile("head=-2&zoom=0&y=0&x=0"), 400, "-1 for the mean"),
        (tile("head=0&zoom=0&y=0&x=0&more=1"), 400, "unknown field"),
        ("tile?trace=0&site=9&pool=max&head=0&zoom=0&y=0&x=0".into(), 404, "site 9 does not exist"),
        ("tile?trace=7&site=0&pool=max&head=0&zoom=0&y=0&x=0".into(), 404, "trace 7"),
        ("tile?trace=0&site=0&pool=median&head=0&zoom=0&y=0&x=0".into(), 400, "pool"),
        ("weights?trace=0&site=0&head=0&query=0&queries=300&key=0&keys=300".into(), 400, "at most 65536"),
        ("weights?trace=0&site=0&head=0&query=0&queries=18446744073709551615&key=0&keys=2".into(), 400, "at most"),
        ("weights?trace=0&site=0&head=0&query=299&queries=2&key=0&keys=1".into(), 422, "positions that the axis has"),
        ("tokens?trace=0&axis=1&first=0&count=1".into(), 404, "axis"),
        ("tokens?trace=0&axis=0&first=0&count=9999999".into(), 400, "8192"),
        ("search?trace=0&axis=0&text=&from=0".into(), 400, "characters"),
        ("heads?trace=1".into(), 404, "trace 1"),
        ("jobs/1".into(), 404, "no such job"),
        ("files/0".into(), 404, "a file already"),
    ] {
        let answer = client.get(&what);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{what}: {body}");
        assert!(body.contains(words), "{what}: {body}");
    }
    assert_eq!(client.post("texts", r#"{"text":"a"}"#).status, 404, "there is no model");
    assert_eq!(client.post("tile", "").status, 405);
    let large = format!(r#"{{"text":"{}"}}"#, "a".repeat(200 << 10));
    assert_eq!(Client::new(&open).post("texts", &large).status, 413);
}

/// A generator of numbers that look random; the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end
    }
}

#[test]
fn thousands_of_malformed_requests_are_refused_and_it_goes_on() {
    let open = open();
    let (host, path) = address(&open);
    let mut random = Random(7);
    let good = format!("GET {path}tile?trace=0&site=0&head=0&zoom=0&y=0&x=0&pool=max HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut client = Client::new(&open);
    let mut refused = 0;
    for round in 0..4000 {
        let mut bytes = good.clone().into_bytes();
        match round % 4 {
            // Bytes of the request line changed.
            0 => {
                for _ in 0..=random.below(4) {
                    let at = random.below(path.len() + 60);
                    bytes[at] = random.below(256) as u8;
                }
            }
            // Not HTTP at all.
            1 => bytes = (0..1 + random.below(200)).map(|_| random.below(256) as u8).chain(*b"\r\n\r\n").collect(),
            // Values that are no numbers, or too large, or too long.
            2 => {
                let value = ["-1", "", "%00", "%ff", "1e9", "99999999999999999999", "NaN", "../../x", "<b>", "0x1"]
                    [random.below(10)];
                let name = ["trace", "site", "head", "zoom", "y", "x", "pool"][random.below(7)];
                bytes = good
                    .replace(&format!("{name}=0"), &format!("{name}={value}"))
                    .replace("pool=max", "pool=<i>")
                    .into_bytes();
            }
            // Too many or too long headers.
            _ => {
                let more = match random.below(3) {
                    0 => format!("X: {}\r\n", "a".repeat(600_000)),
                    1 => "X: y\r\n".repeat(300),
                    _ => "\u{0}: \r\n bad\r\n".to_owned(),
                };
                bytes = good.replacen("\r\n\r\n", &format!("\r\n{more}\r\n"), 1).into_bytes();
            }
        }
        match client.raw(&bytes) {
            Some(answer) => {
                // A changed byte may leave a request that is as good as before.
                assert!(answer.status == 200 || (400..500).contains(&answer.status), "{round}: {}", answer.head);
                refused += usize::from(answer.status >= 400);
                if answer.head.to_ascii_lowercase().contains("connection: close") {
                    client = Client::new(&open);
                }
            }
            None => client = Client::new(&open),
        }
    }
    assert!(refused > 3000, "{refused}");
    assert_eq!(Client::new(&open).get("traces").status, 200);
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let open = open();
    let port: u16 = address(&open).0.split_once(':').unwrap().1.parse().unwrap();
    let error = Studio::new().open(port).err().unwrap();
    assert!(matches!(error, Error::Port { in_use: true, .. }));
    assert!(error.to_string().contains(&format!("cannot listen on port {port}: another program does")), "{error}");
    assert!(error.source().is_some());
    // Closing gives the port back.
    drop(open);
}

#[test]
fn broken_traces_give_errors_and_small_ones_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.trace");
    let bytes = trace(40, 1, 8).to_bytes().unwrap();
    let reason = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Trace::open(&path).unwrap_err().source().unwrap().to_string()
    };
    assert!(reason(&bytes[..bytes.len() - 5]).contains("not a trace"));
    let mut newer = bytes.clone();
    let version = br#"\"version\":2"#;
    let at = newer.windows(version.len()).position(|window| window == version).unwrap();
    newer[at + version.len() - 1] = b'3';
    assert!(reason(&newer).contains("a newer one wrote it"), "{}", reason(&newer));

    // A NaN is found when it is touched: the first query of the only head.
    let mut poisoned = bytes.clone();
    let at = poisoned.len() - 4 * 40 * 8;
    poisoned[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &poisoned).unwrap();
    let open = Studio::new()
        .with_trace("nan", Trace::open(&path).unwrap())
        .with_trace("one", trace(1, 1, 8))
        .with_trace("none", trace(0, 1, 8))
        .open(0)
        .unwrap();
    let mut client = Client::new(&open);
    let answer = client.get("tile?trace=0&site=0&head=0&zoom=0&y=0&x=0&pool=max");
    assert_eq!(answer.status, 422);
    assert!(answer.json()["error"].as_str().unwrap().contains("is NaN, a finite number expected"), "{}", answer.json());

    let one = client.get("tile?trace=1&site=0&head=-1&zoom=0&y=0&x=0&pool=mean");
    assert_eq!((one.status, one.words(), one.floats().len()), (200, [1, 1, 1], 1));
    assert_eq!(client.get("tile?trace=2&site=0&head=-1&zoom=0&y=0&x=0&pool=mean").status, 400);
    assert_eq!(client.get("heads?trace=2").status, 200);
}
