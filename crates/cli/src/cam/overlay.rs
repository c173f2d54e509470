//! A map over the image that it is of, as SVG. The image goes into the file as it is.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use regard_explain::cam::Saliency;
use regard_explain::render::colour::cividis;

use crate::Result;

/// An image with more bytes is not taken into a picture.
const LARGEST: u64 = 32 << 20;
/// Cells along a side of a map that is smaller.
const FINE: usize = 56;
/// Pixels along the longer side, where there is no image.
const SIDE: usize = 448;

/// An image's file.
pub struct Image {
    kind: &'static str,
    bytes: Vec<u8>,
    width: usize,
    height: usize,
}

impl Image {
    /// A PNG or a JPEG; nothing of it is decoded but its size.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |error| format!("cannot read {}: {error}", path.display());
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > LARGEST {
            return Err(format!("{}: {size} bytes, expected at most {LARGEST}", path.display()).into());
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let found = png(&bytes).map(|size| ("png", size)).or_else(|| jpeg(&bytes).map(|size| ("jpeg", size)));
        match found {
            Some((kind, [width, height])) if width > 0 && height > 0 => Ok(Image { kind, bytes, width, height }),
            _ => Err(format!("{}: no image, expected a PNG or a JPEG", path.display()).into()),
        }
    }
}

/// The map in colours, half of the image shining through. What speaks against the class is left clear.
pub fn svg(map: &Saliency, image: Option<&Image>) -> Result<String> {
    let [width, height] = match image {
        Some(image) => [image.width, image.height],
        None => [map.width * SIDE / map.width.max(map.height), map.height * SIDE / map.width.max(map.height)],
    };
    let fine = map.clone().rectified().upsampled(map.height.max(FINE), map.width.max(FINE))?;
    let most = fine.values.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(*value));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\"><title>{}, from 0 (dark) to {most:.3} (bright)</title>\n",
        map.method
    );
    if let Some(Image { kind, bytes, .. }) = image {
        let data = base64(bytes);
        writeln!(svg, "<image width=\"{width}\" height=\"{height}\" href=\"data:image/{kind};base64,{data}\"/>")?;
    }
    let (across, down) = (width as f32 / fine.width as f32, height as f32 / fine.height as f32);
    let opacity = if image.is_some() { 0.55 } else { 1.0 };
    writeln!(svg, "<g fill-opacity=\"{opacity}\" shape-rendering=\"crispEdges\">")?;
    for (at, value) in fine.values.iter().enumerate() {
        let ([red, green, blue], x, y) = (cividis(value / most), at % fine.width, at / fine.width);
        let (left, top) = (x as f32 * across, y as f32 * down);
        writeln!(
            svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{across:.2}\" height=\"{down:.2}\" \
             fill=\"#{red:02x}{green:02x}{blue:02x}\"/>"
        )?;
    }
    Ok(svg + "</g>\n</svg>\n")
}

/// Width and height, of the first chunk.
fn png(bytes: &[u8]) -> Option<[usize; 2]> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..16)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
    Some([number(&header[..4]), number(&header[4..])])
}

/// Width and height, of the frame's header: the first marker from C0 to CF that is not one of three others.
fn jpeg(bytes: &[u8]) -> Option<[usize; 2]> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        if (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker) {
            let number = |at: usize| Some(usize::from(*rest.get(at)?) << 8 | usize::from(*rest.get(at + 1)?));
            return Some([number(7)?, number(5)?]);
        }
        rest = rest.get(2 + (usize::from(high) << 8 | usize::from(low))..)?;
    }
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let whole = (0..3).fold(0usize, |whole, at| whole << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            let shown = digit <= three.len();
            text.push(if shown { char::from(DIGITS[whole >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_headers() {
        let png_header = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0, 0, 1, 4, 0, 0, 0, 9, 8]].concat();
        assert_eq!(png(&png_header), Some([260, 9]));
        let frame = [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2][..], &[0xff, 0xc2, 0, 17, 8, 0, 9, 1, 4]].concat();
        assert_eq!(jpeg(&frame), Some([260, 9]));
        for end in 0..frame.len() {
            assert_eq!(jpeg(&frame[..end]), None, "{end} bytes");
        }
        assert_eq!(png(&png_header[..20]), None);
    }

    #[test]
    fn bytes_become_digits() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
