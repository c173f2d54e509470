//! Axial attention: positions are a grid, and attention goes along its rows, then along its columns.
//!
//! `c = attend_columns(q, k, attend_rows(q, k, v))`: after both, every place has heard of every other.
//! Ho, Kalchbrenner, Weissenborn & Salimans, "Axial Attention in Multidimensional Transformers", 2019, arXiv:1912.12180.
//!
//! Time O(H·W·(H + W)·d) on a grid of H rows and W columns, memory O(H·W·d). Fused.
//! Reach for it with images, and with texts folded into a grid; what lies off a place's own row and column reaches it only
//! through those who share one with both. No causal form here.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use crate::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::Mode;
use crate::ops;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Axial",
    family: Family::Efficient,
    sentence: "Positions are a grid; attention goes along its rows, then along its columns.",
    equation: "c = attend_columns(q, k, attend_rows(q, k, v))",
    paper: "Ho et al. 2019, arXiv:1912.12180",
    cost: "time O(H·W·(H + W)·d), memory O(H·W·d); fused",
    when: "Images and other grids. What is in neither its row nor its column reaches a place by a detour.",
};

/// Axial attention with the same queries and keys along both axes; nothing to learn.
#[derive(Debug, Clone, Copy)]
pub struct Axial {
    rows: usize,
    columns: usize,
}

impl Axial {
    /// On a grid of so many rows and columns; positions follow one another along the rows.
    ///
    /// # Errors
    /// When the grid has no places.
    pub fn new(rows: usize, columns: usize) -> Result<Self> {
        for (argument, given) in [("rows", rows), ("columns", columns)] {
            if given == 0 {
                return Err(Error::value(argument, given, "at least 1"));
            }
        }
        Ok(Axial { rows, columns })
    }
}

impl Mechanism for Axial {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let (Axial { rows, columns }, plain) = (*self, Attention::default());
        for (argument, given) in [("queries", &queries), ("keys", &keys)] {
            if rows.checked_mul(columns) != Some(given.dims()[2]) {
                let expected = format!("a position for each place of {rows} rows and {columns} columns");
                return Err(Error::shape(argument, &given.dims(), expected));
            }
        }
        let [batch, heads, length, width] = values.dims();
        let along_rows = |x: Tensor<4>| {
            let width = x.dims()[3];
            x.reshape([batch, heads * rows, columns, width])
        };
        // The grid on its side: columns are rows then.
        let along_columns = |x: Tensor<4>| {
            let width = x.dims()[3];
            let grid: Tensor<5> = x.reshape([batch, heads, rows, columns, width]).swap_dims(2, 3);
            grid.reshape([batch, heads * columns, rows, width])
        };
        let [q, k] = [&queries, &keys].map(|x| along_rows(x.clone()));
        let context = ops::attend(q, k, along_rows(values), &plain)?.context.reshape([batch, heads, length, width]);
        let [q, k] = [queries, keys].map(along_columns);
        let context = ops::attend(q, k, along_columns(context), &plain)?.context;
        let grid: Tensor<5> = context.reshape([batch, heads, columns, rows, width]).swap_dims(2, 3);
        Ok(grid.reshape([batch, heads, length, width]))
    }
}

/// Configuration of [`AxialAttention`].
#[derive(Config, Debug)]
pub struct AxialAttentionConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Heads; `width` is a multiple of it.
    pub heads: usize,
}

/// Axial self-attention with projections of its own for each axis.
#[derive(Module, Debug)]
pub struct AxialAttention {
    /// Along the rows, first.
    pub row: MultiHeadAttention,
    /// Along the columns.
    pub column: MultiHeadAttention,
}

impl AxialAttentionConfig {
    /// # Errors
    /// As [`MultiHeadAttentionConfig::init`].
    pub fn init(&self, device: &Device) -> Result<AxialAttention> {
        let layer = || MultiHeadAttentionConfig::new(self.width, self.heads).init(device);
        Ok(AxialAttention { row: layer()?, column: layer()? })
    }
}

impl AxialAttention {
    /// `input [batch, row, column, width]`, and so the output.
    ///
    /// # Errors
    /// When the input is not as wide as the layer was made for.
    pub fn forward(&self, input: Tensor<4>, mode: Mode) -> Result<Tensor<4>> {
        let along = |layer: &MultiHeadAttention, grid: Tensor<4>| -> Result<Tensor<4>> {
            let [batch, rows, columns, width] = grid.dims();
            let lines = grid.reshape([batch * rows, columns, width]);
            let output = layer.forward(lines.clone(), lines, &Attention::default(), mode)?.output;
            Ok(output.reshape([batch, rows, columns, width]))
        };
        let rows = along(&self.row, input)?;
        Ok(along(&self.column, rows.swap_dims(1, 2))?.swap_dims(1, 2))
    }
}
