//! An SVG of this crate as PNG.

use resvg::tiny_skia;

use super::tree;
use crate::{Error, Result};

const LARGEST_SIDE: f32 = 16_384.0;
/// More pixels than a screen shows at once, and enough for every letter of a map of 256 tokens.
const WIDE: f32 = 3_200.0;

/// Turns an SVG into the bytes of a PNG that a screen shows well: two pixels a unit, fewer where a side would have more than
/// 3,200, but at least one, so that text can be read.
///
/// # Errors
/// As [`rasterise`].
pub fn picture(svg: &str) -> Result<Vec<u8>> {
    draw(svg, |side| (WIDE / side).clamp(1.0, 2.0))
}

/// Turns an SVG into the bytes of a PNG, `scale` pixels a unit (2 is right for most screens).
///
/// The same everywhere: the font is built in. Only for other scripts than Latin, Greek and Cyrillic are the system's
/// fonts looked at.
///
/// # Errors
/// [`Error::Raster`] for what is no SVG, and for a picture with no or with over 16,384 pixels a side.
pub fn rasterise(svg: &str, scale: f32) -> Result<Vec<u8>> {
    draw(svg, |_| scale)
}

/// Draws an SVG, as many pixels a unit as its longer side asks for.
fn draw(svg: &str, scale: impl FnOnce(f32) -> f32) -> Result<Vec<u8>> {
    let raster = |reason: String| Error::Raster { reason };
    let tree = tree::parse(svg)?;
    let scale = scale(tree.size().width().max(tree.size().height()));
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (side * scale).ceil());
    if !(1.0..=LARGEST_SIDE).contains(&width) || !(1.0..=LARGEST_SIDE).contains(&height) {
        return Err(raster(format!("{width} × {height} pixels, 1 to {LARGEST_SIDE} a side expected")));
    }
    let canvas = tiny_skia::Pixmap::new(width as u32, height as u32);
    let mut canvas = canvas.ok_or_else(|| raster(format!("no memory for {width} × {height} pixels")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut canvas.as_mut());
    canvas.encode_png().map_err(|error| raster(error.to_string()))
}
