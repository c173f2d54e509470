//! The two colour scales: from dark blue for 0 to yellow for 1, and from blue for −1 over white to orange for 1.

/// The published 256-entry table, where it bends; straight lines between these points stay within 2 of 255 of it.
#[rustfmt::skip]
const BENDS: [(u8, u32); 16] = [
    (0, 0x00224e), (19, 0x00306f), (21, 0x003170), (23, 0x013271), (28, 0x123570), (34, 0x1e3a6f), (52, 0x36466c),
    (84, 0x565c6d), (126, 0x7b7a78), (147, 0x8f8a78), (179, 0xaea371), (205, 0xc9b965), (232, 0xe7d150),
    (243, 0xf3db42), (251, 0xfde334), (255, 0xfee838),
];

/// Red, green and blue for a weight from 0 to 1 (clamped; NaN counts as 0).
///
/// Cividis is even in lightness and looks the same with and without colour vision deficiency. Nuñez, Anderton and
/// Renslow, "Optimizing colormaps with consideration for color vision deficiency", PLoS ONE 13(7), 2018.
pub fn cividis(weight: f32) -> [u8; 3] {
    let position = if weight > 0.0 { weight.min(1.0) * 255.0 } else { 0.0 };
    let upper = BENDS.partition_point(|&(at, _)| f32::from(at) < position).max(1);
    let ((from, low), (to, high)) = (BENDS[upper - 1], BENDS[upper]);
    let share = (position - f32::from(from)) / f32::from(to - from);
    [1, 2, 3].map(|byte| {
        let (low, high) = (f32::from(low.to_be_bytes()[byte]), f32::from(high.to_be_bytes()[byte]));
        (low + (high - low) * share).round() as u8
    })
}

/// The colour of a weight as `#rrggbb`, for SVG and CSS.
pub(crate) fn hex(weight: f32) -> String {
    written(cividis(weight))
}

/// Blue, what is neither, and orange: apart in lightness from the middle, and in hue for every kind of colour vision.
const BLUE: [u8; 3] = [0x1b, 0x5e, 0xa8];
const NEITHER: [u8; 3] = [0xf6, 0xf5, 0xf2];
const ORANGE: [u8; 3] = [0xd9, 0x6a, 0x0b];

/// Red, green and blue for a signed share from −1 to 1 (clamped; NaN counts as 0): blue below 0, orange above.
pub fn diverging(share: f32) -> [u8; 3] {
    let end = if share < 0.0 { BLUE } else { ORANGE };
    let far = share.abs().min(1.0);
    let far = if far.is_nan() || share.is_nan() { 0.0 } else { far };
    std::array::from_fn(|at| {
        let [from, to] = [NEITHER[at], end[at]].map(f32::from);
        (from + (to - from) * far).round() as u8
    })
}

/// A colour as `#rrggbb`.
pub(crate) fn written([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Whether writing on the diverging colour of this share should be dark.
pub(crate) fn wants_dark_text_on(share: f32) -> bool {
    // Orange is lighter than blue.
    share > -0.55
}

/// Whether writing on the colour of this weight should be dark.
pub(crate) fn wants_dark_text(weight: f32) -> bool {
    weight > 0.55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_are_the_published_colours() {
        assert_eq!(cividis(0.0), [0x00, 0x22, 0x4e]);
        assert_eq!(cividis(126.0 / 255.0), [0x7b, 0x7a, 0x78]);
        assert_eq!(cividis(1.0), [0xfe, 0xe8, 0x38]);
    }

    #[test]
    fn signs_are_blue_and_orange() {
        assert_eq!([diverging(-1.0), diverging(0.0), diverging(1.0)], [BLUE, NEITHER, ORANGE]);
        assert_eq!([diverging(-9.0), diverging(f32::NAN), diverging(f32::INFINITY)], [BLUE, NEITHER, ORANGE]);
        let [red, _, blue] = diverging(-0.5);
        assert!(blue > red);
    }

    #[test]
    fn anything_is_a_colour() {
        assert_eq!(cividis(-1.0), cividis(0.0));
        assert_eq!(cividis(f32::NAN), cividis(0.0));
        assert_eq!(cividis(f32::INFINITY), cividis(1.0));
    }
}
