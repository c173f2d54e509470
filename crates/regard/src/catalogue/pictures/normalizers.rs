//! Pictures of normalizers: the same scores, made weights in another way.

use regard_kernel::{
    Attention, Entmax, Entmax15, Gumbel, Hard, Normalizer, Sampled, Sigmoid, Softmax, Sparsemax, TopK,
};

use super::Draw;
use super::scene::sentence;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Softmax", || {
        let caption = "A higher temperature spreads the weights; a sink takes a share, which is missing from the row.";
        sentence(
            caption,
            &[
                ("softmax", of(Softmax::default())),
                ("temperature 3", of(Softmax::default().temperature(3.0)?)),
                ("with a sink of logit 3", of(Softmax::default().sink([3.0]))),
            ],
        )
    }),
    ("Sigmoid", || {
        let caption = "Each weight is decided on its own: rows sum to more than 1, or to less.";
        sentence(caption, &[("sigmoid, b = -ln 12", of(Sigmoid::default())), softmax()])
    }),
    ("Sparsemax", || {
        sentence(
            "Below a threshold weights are 0, and the rest share what is left.",
            &[("sparsemax", of(Sparsemax)), softmax()],
        )
    }),
    ("Entmax15", || {
        sentence(
            "Fewer zeros than sparsemax, and a smoother way down to them.",
            &[("entmax, α = 1.5", of(Entmax15)), ("sparsemax", of(Sparsemax)), softmax()],
        )
    }),
    ("Entmax", || {
        sentence(
            "The greater α, the fewer keys have weight.",
            &[("α = 1.2", of(Entmax::new(1.2)?)), ("α = 1.6", of(Entmax::new(1.6)?)), ("α = 3", of(Entmax::new(3.0)?))],
        )
    }),
    ("TopK", || {
        sentence("Three keys a row; of equally strong ones the earlier.", &[("top 3", of(TopK::new(3)?)), softmax()])
    }),
    ("Hard", || sentence("One key a row, the strongest.", &[("hard", of(Hard)), softmax()])),
    ("Gumbel", || {
        sentence(
            "Noise is added to the scores: near a sample where the temperature is low.",
            &[("τ = 1", of(Gumbel::new(1.0, 1)?)), ("τ = 0.2", of(Gumbel::new(0.2, 1)?)), softmax()],
        )
    }),
    ("Sampled", || {
        sentence(
            "One key a row, drawn: other seeds draw others, each as often as the softmax says.",
            &[("seed 1", of(Sampled::new(1))), ("seed 2", of(Sampled::new(2))), softmax()],
        )
    }),
];

fn of(normalizer: impl Normalizer + 'static) -> Attention {
    Attention::default().normalizer(normalizer)
}

fn softmax() -> (&'static str, Attention) {
    ("softmax", Attention::default())
}
