//! Axial attention: positions are a grid, and attention goes along its rows, then along its columns.
//!
//! `c = attend_columns(q, k, attend_rows(q, k, v))`: after both, every place has heard of every other.
//! Ho, Kalchbrenner, Weissenborn & Salimans, "Axial Attention in Multidimensional Transformers", 2019, arXiv:1912.12180.
//!
//! Time O(H·W·(H + W)·d) on a grid of H rows and W columns, memory O(H·W·d). Fused; rows and columns are read where they lie.
//! Reach for it with images, and with texts folded into a grid; what lies off a place's own row and column reaches it only
//! through those who share one with both.
//!
//! Causal ([`Axial::causal`]), after the masked and shifted layers of the paper's decoder: along its own row a place sees
//! what is not after it, along its column the rows above, and those as a whole. Together they are one softmax over the column,
//! `c = Σ_{r' < r} a_{r'} rows(r') + a_r masked_rows(r)`, so that a place hears of every earlier one and of no later.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regard_kernel::mask::Blocks;
use regard_kernel::{Attention, Causal};

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
    causal: bool,
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
        Ok(Axial { rows, columns, causal: false })
    }

    /// As [`new`](Axial::new), with a place seeing only those that do not come after it.
    ///
    /// # Errors
    /// When the grid has no places.
    pub fn causal(rows: usize, columns: usize) -> Result<Self> {
        Ok(Axial { causal: true, ..Axial::new(rows, columns)? })
    }
}

impl Mechanism for Axial {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let (Axial { rows, columns, causal }, plain) = (*self, Attention::default());
        for (argument, given) in [("queries", &queries), ("keys", &keys)] {
            if rows.checked_mul(columns) != Some(given.dims()[2]) {
                let expected = format!("a position for each place of {rows} rows and {columns} columns");
                return Err(Error::shape(argument, &given.dims(), expected));
            }
        }
        let shape @ [batch, heads, _, _] = values.dims();
        // A grid for each batch and head, whose lines are the heads of an attention: no number has to be moved.
        let grid = |x: Tensor<4>| {
            let width = x.dims()[3];
            x.reshape([batch * heads, rows, columns, width])
        };
        let [q, k, v] = [queries, keys, values].map(grid);
        let across = |x: Tensor<4>| x.swap_dims(1, 2);
        let whole = ops::attend(q.clone(), k.clone(), v.clone(), &plain)?.context;
        let context = if causal {
            let masked = plain.clone().mask(Causal::default());
            let own = ops::attend(q.clone(), k.clone(), v, &masked)?.context;
            // Twice the rows: those above as a whole, and a place's own up to it.
            let seen = Blocks::new([1, 1, rows, 2 * rows], |_, _, row, other| other < row || other == rows + row)?;
            let (keys, found) = (Tensor::cat(vec![k.clone(), k], 1), Tensor::cat(vec![whole, own], 1));
            ops::attend(across(q), across(keys), across(found), &plain.mask(seen))?.context
        } else {
            ops::attend(across(q), across(k), across(whole), &plain)?.context
        };
        Ok(across(context).reshape(shape))
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
