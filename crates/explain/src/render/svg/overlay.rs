//! A class activation map over the image that it is of. The image goes into the picture as it is.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagesize::ImageType;

use super::bar::{bar, bar_width};
use super::panels::runs;
use super::{GAP, HEADER, LINE, MARGIN, MOST_TOKENS, PALE_INK, header, opening, text};
use crate::cam::Saliency;
use crate::error::{checked, field};
use crate::render::Scale;
use crate::render::colour::cividis;
use crate::trust::number;
use crate::{Error, Map, Result};

/// An image with more bytes is not taken into a picture.
const LARGEST: u64 = 32 << 20;
/// Cells along a side of a map that is smaller.
const FINE: usize = 112;
/// The longer side of what is drawn, in pixels.
const SIDE: f32 = 448.0;
const CAPTION: &str = "speaks for the class";

/// The file of a PNG or a JPEG.
#[derive(Debug, Clone)]
pub struct Image {
    kind: &'static str,
    bytes: Vec<u8>,
    width: usize,
    height: usize,
}

impl Image {
    /// Takes a file's bytes. Its header and its end are looked at, and nothing is decoded.
    ///
    /// # Errors
    /// [`Error::Field`] for what is no PNG and no JPEG, has no pixels, is cut short, or has more than 32 MB.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        small(bytes.len() as u64)?;
        // The last chunk of a PNG is always the same; programs write all kinds of things after the end.
        let (kind, end) = match imagesize::image_type(&bytes) {
            Ok(ImageType::Png) => ("png", b"IEND\xaeB`\x82".as_slice()),
            Ok(ImageType::Jpeg) => ("jpeg", b"\xff\xd9".as_slice()),
            _ => return field("image", "a file of another kind", "a PNG or a JPEG"),
        };
        let size = imagesize::blob_size(&bytes).ok().filter(|_| bytes.windows(end.len()).any(|part| part == end));
        match size.map(|size| (size.width, size.height)) {
            None => field("image", format!("a {kind} that is cut short"), "a whole one"),
            Some((width, height)) if width == 0 || height == 0 => {
                field("image", format!("{width} × {height} pixels"), "at least 1 × 1")
            }
            Some((width, height)) => Ok(Self { kind, bytes, width, height }),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], and what [`new`](Self::new) says, with the file's name.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let named = |source| Error::InFile { path: path.to_owned(), source: Box::new(source) };
        small(fs::metadata(path).map_err(unreadable)?.len()).map_err(named)?;
        Self::new(fs::read(path).map_err(unreadable)?).map_err(named)
    }
}

fn small(bytes: u64) -> Result<()> {
    if bytes > LARGEST { field("image", format!("{bytes} bytes"), "at most 33554432") } else { Ok(()) }
}

/// Draws a map, smoothed, over its image, half of which shines through; and a colour bar. What speaks against the class counts as 0.
///
/// # Errors
/// [`Error::TooLarge`] for more than 512 rows or columns, [`Error::Value`] for a number that is not finite, and what [`Saliency::upsampled`] says.
pub fn overlay(map: &Saliency, image: Option<&Image>) -> Result<String> {
    let &Saliency { method, height: rows, width: columns, .. } = map;
    if rows > MOST_TOKENS || columns > MOST_TOKENS {
        return Err(Error::TooLarge { what: "SVG", rows, columns, limit: "512 × 512" });
    }
    // Before a NaN is taken for a number below 0.
    checked("values", &map.values, &[rows, columns])?;
    let fine = map.clone().rectified().upsampled(rows.max(FINE), columns.max(FINE))?;
    let greatest = fine.values.iter().copied().fold(0.0, f32::max);
    let by = if greatest > 0.0 { greatest } else { 1.0 };
    let shares = Map::new(fine.height, fine.width, fine.values.iter().map(|value| value / by).collect())?;

    let [across, down] = image.map_or([columns, rows], |image| [image.width, image.height]).map(|side| side as f32);
    let [across, down] = [across, down].map(|side| (side / across.max(down) * SIDE).max(1.0));
    let (top, width) = (MARGIN + HEADER, across.max(bar_width(CAPTION)) + 2.0 * MARGIN);
    let below = top + down + 2.0 * GAP;
    let mut svg = opening(width.ceil(), (below + 3.0 * LINE + MARGIN).ceil());
    let places = format!("{rows} × {columns} places, smoothed; what speaks against the class is 0");
    header(&mut svg, method, "Class activation map:", &places, width);
    let _ = writeln!(svg, r#"<g transform="translate({MARGIN} {top})">"#);
    if let Some(Image { kind, bytes, .. }) = image {
        let data = STANDARD.encode(bytes);
        let _ = writeln!(
            svg,
            r#"<image width="{across:.1}" height="{down:.1}" preserveAspectRatio="none" href="data:image/{kind};base64,{data}"/>"#
        );
    }
    let opacity = if image.is_some() { 0.5 } else { 1.0 };
    let _ = writeln!(
        svg,
        r#"<g transform="scale({} {})" fill="none" opacity="{opacity}" shape-rendering="crispEdges">{}</g>
</g>"#,
        across / fine.width as f32,
        down / fine.height as f32,
        runs(&shares, &Scale::weights())
    );
    bar(&mut svg, [MARGIN, below], cividis, &[0.0, greatest / 2.0, greatest].map(number), CAPTION);
    text(&mut svg, MARGIN, below + 3.0 * LINE - GAP, PALE_INK, "how far to trust this: not measured");
    Ok(svg + "</svg>\n")
}
