//! How each mechanism is used. The book prints these functions, so they are short and complete; here they are run.

#[path = "usage/caches.rs"]
mod caches;
#[path = "usage/graphs.rs"]
mod graphs;
#[path = "usage/heads.rs"]
mod heads;
#[path = "usage/mechanisms.rs"]
mod mechanisms;
#[path = "usage/memory.rs"]
mod memory;
#[path = "usage/nouns.rs"]
mod nouns;
#[path = "usage/positions.rs"]
mod positions;
#[path = "usage/probes.rs"]
mod probes;

use burn::tensor::{Device, Distribution, Tensor};

/// What a function of the book ends with.
type Outcome = regard::Result<()>;

/// A mechanism and a function that is given queries, keys and values.
type OfHeads = (&'static str, fn([Tensor<4>; 3]) -> Outcome);

/// A mechanism and a function that is given the positions of a model.
type OfPositions = (&'static str, fn(Tensor<3>) -> Outcome);

/// Queries, keys and values, `[1, 4, 64, 16]`.
fn heads() -> [Tensor<4>; 3] {
    [(); 3].map(|()| Tensor::random([1, 4, 64, 16], Distribution::Default, &Device::default()))
}

/// Positions of a model, `[1, 64, 32]`.
fn input() -> Tensor<3> {
    Tensor::random([1, 64, 32], Distribution::Default, &Device::default())
}

#[test]
fn what_the_book_prints_runs() {
    let heads_run: Vec<OfHeads> = [nouns::ALL, mechanisms::ALL, caches::ALL, positions::ALL, probes::ALL].concat();
    for (name, run) in heads_run {
        run(heads()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let input_run: Vec<OfPositions> = [heads::ALL, memory::ALL, graphs::ALL].concat();
    for (name, run) in input_run {
        run(input()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
