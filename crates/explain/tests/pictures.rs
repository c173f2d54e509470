//! SVG, PNG, HTML and JSON: complete, exact and harmless.

use regard_explain::render::{Figure, html, svg};
use regard_explain::{Error, Evidence, Head, Map, Site, Trace};

const EVIL: [&str; 5] = ["</script><b>", "\"'&<>", "\u{202e}]]>\0\u{ffff}", "été", "/*script*/"];

fn trace(tokens: &[&str]) -> Trace {
    let mut trace = Trace::new("<title> & \"more\"\u{1}", "<model>");
    let axis = trace.add_axis("source", tokens.iter().map(|token| token.to_string()).collect());
    let count = tokens.len();
    let weights = (0..2 * count * count).map(|i| (i % 10) as f32 / 11.0);
    let evidence = Evidence::Weights(weights.collect::<Vec<_>>().into());
    trace
        .add_site(Site { name: "encoder.self".into(), layer: 0, queries: axis, keys: axis, heads: 2, evidence })
        .unwrap();
    trace
}

fn heat_map(trace: &Trace) -> String {
    svg::heat_map(&Figure::of(trace, 0, Head::One(1)).unwrap()).unwrap()
}

#[test]
fn svg_says_what_it_shows() {
    let svg = heat_map(&trace(&["a", "b"]));
    for part in ["attention weight", "encoder.self, layer 1, head 2", "<title>a → b: 0.45454547</title>", "source →"]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert!(!svg.contains("importance"));
}

#[test]
fn svg_escapes_tokens() {
    let svg = heat_map(&trace(&EVIL));
    assert!(svg.contains("&lt;/script&gt;&lt;b&gt;") && svg.contains("&quot;'&amp;&lt;&gt;"));
    assert!(!svg.contains(['\u{202e}', '\0', '\u{1}', '\u{ffff}']));
}

#[test]
fn svg_refuses_what_nobody_can_read() {
    let figure = |side: usize| Figure {
        title: "",
        subtitle: String::new(),
        map: Map::new(side, 1, vec![0.5; side]).unwrap(),
        row_axis: "",
        rows: &[],
        column_axis: "",
        columns: &[],
    };
    assert!(svg::heat_map(&figure(0)).is_ok());
    assert!(svg::heat_map(&figure(512)).is_ok());
    assert!(matches!(svg::heat_map(&figure(513)), Err(Error::TooLarge { rows: 513, .. })));
}

#[test]
fn a_grid_has_every_layer_and_head() {
    let mut trace = trace(&EVIL);
    let first = trace.sites()[0].clone();
    trace.add_site(Site { layer: 4, ..first }).unwrap();
    let svg = svg::grid(&trace, "encoder.self").unwrap();
    for layer in [1, 5] {
        for head in [1, 2] {
            assert!(svg.contains(&format!("<title>layer {layer}, head {head}</title>")));
        }
    }
    assert!(svg::grid(&trace, "decoder").unwrap_err().to_string().contains("decoder given"));
}

#[test]
fn a_list_of_sites_steers_no_terminal() {
    let mut trace = trace(&["a"]);
    let first = trace.sites()[0].clone();
    let axis = trace.add_axis("\u{9b}1m", vec!["a".into()]);
    trace.add_site(Site { name: "\x1b[31mself\n".into(), keys: axis, ..first }).unwrap();
    let list = trace.list();
    assert!(list.lines().count() == 2 && !list.contains(['\x1b', '\u{9b}']), "{list:?}");
}

#[test]
fn json_is_exact() {
    let trace = trace(&EVIL);
    let json: serde_json::Value = serde_json::from_str(&trace.to_json().unwrap()).unwrap();
    assert_eq!(json["title"], trace.title.as_str());
    assert_eq!(json["axes"][0]["tokens"][2], EVIL[2]);
    let site = &json["sites"][0];
    assert_eq!((&site["name"], &site["heads"]), (&"encoder.self".into(), &2.into()));
    for (head, maps) in site["weights"].as_array().unwrap().iter().enumerate() {
        let map = trace.map(0, Head::One(head)).unwrap();
        for row in 0..5 {
            for column in 0..5 {
                assert_eq!(maps[row][column].as_f64().unwrap() as f32, map.weight(row, column));
            }
        }
    }
}

#[test]
fn html_keeps_tokens_in_their_place() {
    let page = html::page(&[trace(&EVIL)]).unwrap();
    // One element of data, one of script, one of style, whatever the tokens say.
    assert_eq!(page.matches("</script").count(), 2);
    assert_eq!(page.matches("</style").count(), 1);
    assert_eq!(page.matches("'use strict'").count(), 1);
    assert!(page.contains(r#"id="data">{"#) && page.contains(r"\u003c/script>"));
    assert!(!page.contains(['\u{202e}', '\0']));
}

#[test]
fn html_needs_no_network() {
    let page = html::page(&[trace(&["a"])]).unwrap();
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("@import") && !page.contains("url("));
    assert!(html::page(&[]).unwrap().contains(r#""traces":[]"#));
}

#[cfg(feature = "png")]
mod png {
    use regard_explain::render::png::{picture, rasterise};
    use resvg::tiny_skia::Pixmap;

    use super::*;

    /// How many pixels of a line of text are dark.
    fn ink(text: &str) -> usize {
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="40" font-family="sans-serif"><rect width="200" height="40" fill="white"/><text x="9" y="30" font-size="24">{text}</text></svg>"#
        );
        let picture = Pixmap::decode_png(&rasterise(&svg, 1.0).unwrap()).unwrap();
        picture.pixels().iter().filter(|pixel| pixel.red() < 100).count()
    }

    #[test]
    fn text_really_appears_accents_too() {
        assert!(ink("Hello") > 200);
        assert!(ink("éàçœŒ") > ink("eacoO"));
        for text in ["Ελ", "Ж", "∅", "␣", "→", "…", "ő", "ệ", "−", "≠", "≤", "≥"] {
            assert!(ink(text) > 5, "{text}");
        }
    }

    #[test]
    fn a_picture_has_the_size_of_its_svg() {
        let svg = heat_map(&trace(&EVIL));
        let side = |name: &str| -> f32 {
            svg.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        let picture = Pixmap::decode_png(&rasterise(&svg, 2.0).unwrap()).unwrap();
        assert_eq!((picture.width() as f32, picture.height() as f32), (2.0 * side("width"), 2.0 * side("height")));
    }

    #[test]
    fn a_picture_fits_a_screen() {
        for (side, expected) in [(100, 200), (1600, 3200), (2000, 3200), (3200, 3200), (4000, 4000)] {
            let svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="{side}"/>"#);
            assert_eq!(Pixmap::decode_png(&picture(&svg).unwrap()).unwrap().height(), expected, "{side}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        assert!(matches!(rasterise("no svg", 1.0), Err(Error::Raster { .. })));
        let svg = heat_map(&trace(&["a"]));
        for scale in [0.0, -1.0, 1e9, f32::NAN, f32::INFINITY] {
            assert!(matches!(rasterise(&svg, scale), Err(Error::Raster { .. })), "{scale}");
        }
    }
}
