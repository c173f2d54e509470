//! An SVG of this crate as PDF: letters stay letters, lines stay sharp at any size.

use krilla::Document;
use krilla::geom::Size;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};

use super::tree;
use crate::{Error, Result};

/// Turns an SVG into the bytes of a PDF with one page as large as the picture, a point for each of its units.
///
/// # Errors
/// [`Error::Raster`] for what is no SVG, or for a picture that PDF cannot hold.
pub fn document(svg: &str) -> Result<Vec<u8>> {
    let raster = |reason: &str| Error::Raster { reason: reason.to_owned() };
    let tree = tree::parse(svg)?;
    let [width, height] = [tree.size().width(), tree.size().height()];
    let size = Size::from_wh(width, height).ok_or_else(|| raster("a picture without a size"))?;
    let settings = PageSettings::from_wh(width, height).ok_or_else(|| raster("a page without a size"))?;
    let mut document = Document::new();
    let mut page = document.start_page_with(settings);
    let mut surface = page.surface();
    surface.draw_svg(&tree, size, SvgSettings::default()).ok_or_else(|| raster("a shape that PDF cannot hold"))?;
    surface.finish();
    page.finish();
    document.finish().map_err(|error| raster(&format!("{error:?}")))
}
