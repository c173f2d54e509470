//! An SVG of this crate, read: letters found in fonts, everything else as shapes.

use std::sync::Arc;

use resvg::usvg;

use crate::{Error, Result};

/// Noto Sans, its Latin, Greek and Cyrillic glyphs; licence in `font/OFL.txt`.
const FONT: &[u8] = include_bytes!("font/NotoSans-subset.ttf");
const FAMILY: &str = "Noto Sans";

/// Reads an SVG.
///
/// The same everywhere: the font is built in. Only for other scripts than Latin, Greek and Cyrillic are the system's
/// fonts looked at.
pub(super) fn parse(svg: &str) -> Result<usvg::Tree> {
    let mut options = usvg::Options { font_family: FAMILY.to_owned(), ..usvg::Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    if !svg.chars().all(built_in) {
        fonts.load_system_fonts();
        // Any face with the letter would do for the search; a bold or slanted one would look like emphasis.
        let regular = |face: &&fontdb::FaceInfo| {
            (face.weight, face.style, face.stretch)
                == (fontdb::Weight::NORMAL, fontdb::Style::Normal, fontdb::Stretch::Normal)
        };
        let others: Vec<_> = fonts.faces().filter(|face| !regular(face)).map(|face| face.id).collect();
        others.into_iter().for_each(|face| fonts.remove_face(face));
    }
    usvg::Tree::from_str(svg, &options).map_err(|error| Error::Raster { reason: error.to_string() })
}

/// Whether the built-in font has the character.
fn built_in(c: char) -> bool {
    matches!(c, '\0'..='\u{17f}' | '\u{2b0}'..='\u{45f}' | '\u{1e00}'..='\u{1eff}' | '\u{2010}'..='\u{203a}')
        || "ƒȘșȚțҐґ⁄№™←→↓∅−≠≤≥␣◌€".contains(c)
}
