//! Small terminal pictures, character by character.

use regard_explain::Map;
use regard_explain::render::terminal::{Colour, alignment, colour_mode};
use unicode_width::UnicodeWidthStr;

fn tokens(text: &str) -> Vec<String> {
    text.split('|').map(String::from).collect()
}

fn picture(map: &Map, rows: &str, columns: &str, width: usize) -> String {
    // A leading line feed lets the expected picture start on its own line.
    format!("\n{}", alignment(map, &tokens(rows), &tokens(columns), Colour::Ascii, width))
}

fn map(rows: usize, columns: usize) -> Map {
    let weights = (0..rows * columns).map(|i| if i / columns == i % columns { 1.0 } else { 0.1 });
    Map::new(rows, columns, weights.collect()).unwrap()
}

#[test]
fn a_short_sentence_is_written_across() {
    let map = Map::new(3, 3, vec![0.9, 0.1, 0.0, 0.0, 1.0, 0.02, 0.1, 0.3, 0.6]).unwrap();
    let expected = "
        Hello   ,   world
Bonjour %%%%% .....
      ,       @@@@@
  monde ..... ----- +++++

        0   ..::--==++**##%%@@ 1  attention weight
";
    assert_eq!(picture(&map, "Bonjour|,|monde", "Hello|,|world", 40), expected);
}

#[test]
fn a_longer_one_downwards_and_in_panels() {
    let expected = "
      l
      i   漢
      o h 字
    a n a k
 be @@......
fed ..@@....

      a
      b
      c
      d
      e
      f
      g
      h
      i
      j
      k
      l
      m
    É ~
 be ....
fed ....

    0   ..::--==++**##%%@@ 1  attention weight
";
    let map = map(2, 6);
    let picture = picture(&map, "be|fed", "a|lion|ha|漢字k|É|abcdefghijklmnop", 12);
    assert!(picture.lines().filter(|line| !line.contains("attention")).all(|line| line.width() <= 12), "{picture}");
    assert_eq!(picture, expected);
}

#[test]
fn wide_combining_and_right_to_left_tokens_keep_the_columns() {
    for tokens in ["a|b|c", "漢字|e\u{301}|c", "שלום|👩‍🚀|\u{301}", "\u{202e}x|\x1b[2J|\t"] {
        let drawn = picture(&map(3, 3), tokens, tokens, 60);
        let lines: Vec<&str> = drawn.lines().skip(2).take(3).collect();
        let ends: Vec<usize> = lines.iter().map(|line| line.width()).collect();
        assert!(ends.iter().all(|&end| end == ends[0]), "{drawn}");
        assert!(!drawn.contains(['\x1b', '\u{202e}', '\t']), "{drawn}");
    }
}

#[test]
fn colours_are_escape_sequences_that_end_with_their_line() {
    let map = Map::new(1, 2, vec![1.0, 0.0]).unwrap();
    let draw = |colour| alignment(&map, &tokens("a"), &tokens("b|c"), colour, 40);
    let line = draw(Colour::TrueColor).lines().nth(1).unwrap().to_owned();
    assert_eq!(line, "a \x1b[48;2;254;232;56m\x1b[38;5;16m 1.0 \x1b[48;2;0;34;78m     \x1b[0m");
    let line = draw(Colour::Ansi256).lines().nth(1).unwrap().to_owned();
    assert_eq!(line, "a \x1b[48;5;227m\x1b[38;5;16m 1.0 \x1b[48;5;17m     \x1b[0m");
}

#[test]
fn odd_sizes_are_drawn_too() {
    for (rows, columns) in [(0, 0), (0, 3), (3, 0), (1, 1), (2, 70)] {
        for width in [0, 1, 5, 80] {
            for colour in [Colour::TrueColor, Colour::Ansi256, Colour::Ascii] {
                // Tokens may be missing.
                let drawn = alignment(&map(rows, columns), &[], &[], colour, width);
                assert!(drawn.ends_with("attention weight\n"));
            }
        }
    }
}

#[test]
fn the_environment_decides_on_colours() {
    use Colour::{Ansi256, Ascii, TrueColor};
    let cases = [
        ((None, Some("truecolor"), Some("xterm-256color"), true), TrueColor),
        ((None, Some("24bit"), None, true), TrueColor),
        ((None, None, Some("xterm-direct"), true), TrueColor),
        ((None, None, Some("xterm-256color"), true), Ansi256),
        ((None, None, Some("linux"), true), Ascii),
        ((None, None, None, true), Ascii),
        ((Some(""), Some("truecolor"), Some("xterm"), true), TrueColor),
        ((Some("1"), Some("truecolor"), Some("xterm"), true), Ascii),
        ((None, Some("truecolor"), Some("dumb"), true), Ascii),
        ((None, Some("truecolor"), Some("xterm"), false), Ascii),
    ];
    for ((no_color, colorterm, term, is_terminal), expected) in cases {
        assert_eq!(
            colour_mode(no_color, colorterm, term, is_terminal),
            expected,
            "{no_color:?} {colorterm:?} {term:?}"
        );
    }
}
