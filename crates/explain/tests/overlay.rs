//! A class activation map over its image.

use regard_explain::cam::Saliency;
use regard_explain::render::svg::{Image, overlay};
use regard_explain::{Error, Result};

fn map(height: usize, width: usize, values: &[f32]) -> Saliency {
    Saliency { method: "CAM", height, width, values: values.to_vec() }
}

/// Of 260 × 9 pixels: what an image's file begins and ends with, nothing between.
fn png() -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0, 0, 1, 4, 0, 0, 0, 9], b"\0\0\0\0IEND\xaeB`\x82"].concat()
}

fn jpeg() -> Vec<u8> {
    [0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc2, 0, 17, 8, 0, 9, 1, 4, 0xff, 0xd9].to_vec()
}

fn told<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_image_shines_through_and_the_colours_are_told() {
    let values = map(2, 2, &[-3.0, 0.0, 1.0, 4.0]);
    for (bytes, kind) in [(png(), "data:image/png;base64,iVBORw0KGgo"), (jpeg(), "data:image/jpeg;base64,/9j/")] {
        let drawn = overlay(&values, Some(&Image::new(bytes).unwrap())).unwrap();
        assert!(drawn.contains(kind) && drawn.contains(r#"opacity="0.5""#), "{drawn}");
        // As wide as it is drawn, and of the image's shape.
        assert!(drawn.contains(r#"<image width="448.0" height="15.5""#), "{drawn}");
        for part in [">0</text>", ">2.00</text>", ">4.00</text>", "speaks for the class", "#fee838", "not measured"] {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
    }
    let alone = overlay(&values, None).unwrap();
    assert!(!alone.contains("<image") && alone.contains(r#"opacity="1""#) && !alone.contains("importan"), "{alone}");
    // Nothing speaks for the class: all dark, and no number is made up.
    let against = overlay(&map(1, 2, &[-1.0, -2.0]), None).unwrap();
    assert!(against.matches(">0</text>").count() == 3 && !against.contains("NaN"), "{against}");
}

#[test]
fn what_is_no_whole_image_is_refused() {
    assert!(told(Image::new(b"GIF89a and more".to_vec())).contains("expected") && Image::new(Vec::new()).is_err());
    for whole in [png(), jpeg()] {
        assert!(Image::new([&whole, b"written after the end".as_slice()].concat()).is_ok());
        for end in 0..whole.len() {
            let said = told(Image::new(whole[..end].to_vec()));
            assert!(said.contains("a PNG or a JPEG expected") || said.contains("that is cut short given"), "{said}");
        }
    }
    let mut empty = png();
    empty[19] = 0;
    empty[18] = 0;
    assert!(told(Image::new(empty)).starts_with("image: 0 × 9 pixels given"));
    assert!(told(Image::new(vec![0; (32 << 20) + 1])).contains("at most"));
    assert!(matches!(Image::load("/nowhere.png"), Err(Error::Io { .. })));
}

#[test]
fn what_is_no_map_is_refused() {
    assert!(matches!(overlay(&map(513, 1, &[0.0; 513]), None), Err(Error::TooLarge { rows: 513, .. })));
    assert!(overlay(&map(512, 1, &[0.5; 512]), None).is_ok());
    assert!(told(overlay(&map(0, 2, &[]), None)).starts_with("size:"));
    assert!(told(overlay(&map(1, 2, &[1.0]), None)).starts_with("values: 1 numbers given"));
    assert!(told(overlay(&map(1, 1, &[f32::NAN]), None)).starts_with("values: number 0 is NaN"));
}
