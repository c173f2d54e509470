//! A picture for each card, computed on the spot by the mechanism that it shows: `regard show` draws it, the book prints it.
//!
//! Inputs are small and made up, so that a picture takes milliseconds and is the same everywhere: `scene` has them. What
//! would be learned is set by hand, and the caption says to what. A card without a picture fails a test.

mod biases;
mod caches;
mod efficient;
mod graphs;
mod heads;
mod masks;
mod memory;
mod normalizers;
mod positions;
mod probes;
mod scene;
mod scores;

use crate::error::Result;

/// What a mechanism looks like.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What is to be seen, and on which input; or why there is nothing to draw, if there are no panels.
    pub caption: String,
    /// Maps, those to be compared side by side.
    pub panels: Vec<Panel>,
}

/// A map of a picture.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What is special about this one.
    pub title: String,
    /// What goes down, and a token for each row.
    pub rows: (String, Vec<String>),
    /// What goes across, and a token for each column.
    pub columns: (String, Vec<String>),
    /// A finite number for each pair, a row at a time.
    pub values: Vec<f32>,
    /// What the numbers are, and from where to where they are coloured, the lower end first.
    pub scale: (String, f32, f32),
}

/// Draws one card.
type Draw = fn() -> Result<Picture>;

/// The picture of the card with this name; `None` if no card of this crate has it.
pub fn picture(name: &str) -> Option<Result<Picture>> {
    let all = [
        scores::PICTURES,
        biases::PICTURES,
        masks::PICTURES,
        normalizers::PICTURES,
        positions::PICTURES,
        heads::PICTURES,
        caches::PICTURES,
        efficient::PICTURES,
        memory::PICTURES,
        graphs::PICTURES,
        probes::PICTURES,
    ];
    let draw = all.into_iter().flatten().find(|(card, _)| *card == name)?.1;
    Some(draw())
}

#[cfg(test)]
mod tests {
    use super::super::cards;
    use super::*;

    #[test]
    fn every_card_has_a_picture_that_can_be_drawn() {
        for card in cards() {
            let picture = picture(card.name).unwrap_or_else(|| panic!("no picture of {}", card.name));
            let picture = picture.unwrap_or_else(|error| panic!("{}: {error}", card.name));
            assert!(picture.caption.ends_with('.'), "{}: {}", card.name, picture.caption);
            for Panel { title, rows, columns, values, scale } in &picture.panels {
                let place = format!("{}: {title}", card.name);
                assert_eq!(values.len(), rows.1.len() * columns.1.len(), "{place}");
                assert!(values.iter().all(|value| value.is_finite()), "{place}: {values:?}");
                assert!(scale.1 < scale.2 && values.iter().any(|value| *value > scale.1), "{place}: {scale:?}");
            }
        }
    }
}
