//! Small maps of any quantity, in the terminal and as SVG.

use regard_explain::render::terminal::{self, Colour};
use regard_explain::render::{Panel, Scale, svg};
use regard_explain::{Axis, Error, Result};
use unicode_width::UnicodeWidthStr;

fn axis(name: &str, tokens: impl Iterator<Item = String>) -> Axis {
    Axis { name: name.to_owned(), tokens: tokens.collect() }
}

fn scale(low: f32, high: f32) -> Scale {
    Scale { name: "added".to_owned(), low, high }
}

/// The nearer, the greater.
fn near(title: &str, length: usize) -> Panel {
    let numbers = || (0..length).map(|at| at.to_string());
    let values: Vec<f32> =
        (0..length * length).map(|at| -((at / length) as f32 - (at % length) as f32).abs()).collect();
    Panel::new(title, axis("query", numbers()), axis("key", numbers()), &values, scale(-(length as f32), 0.0)).unwrap()
}

fn words(low: f32, high: f32, values: &[f32]) -> Result<Panel> {
    let tokens = |words: &str| axis("word", words.split(' ').map(String::from));
    Panel::new("sums", tokens("chat <noir>"), tokens("the black cat"), values, scale(low, high))
}

#[test]
fn few_tokens_are_written_with_the_numbers_of_the_scale() {
    let panel = words(-2.0, 4.0, &[4.0, -2.0, 1.0, 0.0, 5.0, 2.0]).unwrap();
    let drawn = terminal::panels(std::slice::from_ref(&panel), Colour::Ascii, 80);
    let rows: Vec<Vec<&str>> = drawn.lines().take(4).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "sums: word down, word across");
    let map = [vec!["the", "black", "cat"], vec!["chat", "@@@@@", "+++++"], vec!["<noir>", "---", "@@@@@", "***"]];
    assert_eq!(rows[1..].iter().map(Vec::len).collect::<Vec<_>>(), map.map(|row| row.len()), "{drawn}");
    assert!(drawn.ends_with("\n−2   ..::--==++**##%%@@ 4  added\n"), "{drawn}");
    let colours = terminal::panels(std::slice::from_ref(&panel), Colour::TrueColor, 80);
    assert!(colours.contains("  4  ") && colours.contains(" −2  "), "{colours}");
    let svg = svg::panels("of & words", &[panel]).unwrap();
    assert!(svg.contains("&lt;noir&gt;") && svg.contains(">−2</text>") && svg.contains("of &amp; words"), "{svg}");
}

#[test]
fn many_tokens_are_drawn_side_by_side_as_wide_as_there_is_room() {
    let panels = [near("a title", 24), near("another", 24)];
    for (width, lines) in [(100, 24), (60, 48)] {
        let drawn = terminal::panels(&panels, Colour::Ascii, width);
        assert!(drawn.lines().all(|line| line.width() <= width), "{drawn}");
        // The brightest is on every line of a map, and in the legend.
        assert_eq!(drawn.lines().filter(|line| line.contains('@')).count(), lines + 1, "{drawn}");
    }
    // Two rows a line.
    let drawn = terminal::panels(&panels, Colour::Ansi256, 100);
    assert_eq!(drawn.lines().filter(|line| line.contains('▀')).count(), 12, "{drawn}");
    assert_eq!(drawn.matches('▀').count(), 2 * 24 * 12);
    // Too wide even so; the legend is as wide as ever.
    let narrow = terminal::panels(&panels[..1], Colour::Ascii, 20);
    let legend = narrow.lines().last().unwrap();
    assert!(legend.contains("added") && narrow.contains('@'), "{narrow}");
    assert!(narrow.lines().filter(|line| *line != legend).all(|line| line.width() <= 20), "{narrow}");
}

#[test]
fn a_large_map_is_a_small_svg() {
    let svg = svg::panels("near", &[near("left", 48), near("right", 48)]).unwrap();
    assert!(svg.len() < 40_000, "{}", svg.len());
    assert_eq!(svg.matches("added").count(), 1, "one scale for both");
    assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("query ↓, key →"));
    assert!(svg::panels("large", &[near("large", 513)]).is_err());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let values = [0.0; 6];
    assert!(matches!(words(0.0, 1.0, &values[..5]), Err(Error::Shape { .. })));
    assert!(matches!(words(0.0, 1.0, &[f32::NAN; 6]), Err(Error::Value { .. })));
    for (low, high) in [(1.0, 1.0), (f32::NAN, 1.0), (0.0, f32::INFINITY)] {
        assert!(matches!(words(low, high, &values), Err(Error::Field { .. })), "{low} to {high}");
    }
    assert!(svg::panels("nothing", &[]).unwrap().starts_with("<svg"));
    assert_eq!(terminal::panels(&[], Colour::Ascii, 80), "");
}

#[test]
fn what_goes_as_far_below_0_as_above_is_blue_white_and_orange() {
    let panel = words(-2.0, 2.0, &[-2.0, 0.0, 2.0, 0.0, 0.0, 1.0]).unwrap();
    let both = [panel.clone(), words(0.0, 1.0, &[0.5; 6]).unwrap()];
    let drawn = svg::panels("both", &both).unwrap();
    for part in ["url(#signed)", "url(#scale)", r##"fill="#f6f5f2" d="M0 0h3"##, r##"stroke="#1b5ea8" d="M0 0.5h1""##] {
        assert!(drawn.contains(part), "{part} in {drawn}");
    }
    assert!(!svg::panels("one", &both[1..]).unwrap().contains("signed"));
    let colours = terminal::panels(std::slice::from_ref(&panel), Colour::TrueColor, 80);
    assert!(colours.contains("\x1b[48;2;27;94;168m") && colours.contains("\x1b[48;2;217;106;11m"), "{colours:?}");
    assert!(terminal::panels(&[panel], Colour::Ansi256, 80).contains("\x1b[48;5;25m"));

    // A map that is shrunk keeps what is farthest from 0, also below it.
    let numbers = || (0..40).map(|at: usize| at.to_string());
    let values: Vec<f32> = (0..1600).map(|at| if at == 0 { -1.0 } else { 0.1 }).collect();
    let long = Panel::new("long", axis("query", numbers()), axis("key", numbers()), &values, scale(-1.0, 1.0)).unwrap();
    let shrunk = terminal::panels(&[long], Colour::TrueColor, 20);
    assert!(shrunk.lines().nth(2).unwrap().starts_with("\x1b[38;2;27;94;168m"), "{shrunk:?}");
}
