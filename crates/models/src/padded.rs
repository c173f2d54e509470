use burn::module::Param;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use crate::error::{Error, Result};

/// Sequences of token ids in one rectangle, the shorter ones padded at the end.
#[derive(Debug, Clone)]
pub struct Padded {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    width: usize,
}

impl Padded {
    /// `sequences` filled up with `pad`; none may be empty, and every id must be below `vocabulary`.
    ///
    /// # Errors
    /// Naming the sequence that is empty or the id that is no token.
    pub fn new<S: AsRef<[u32]>>(sequences: &[S], pad: u32, vocabulary: usize) -> Result<Self> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.as_ref().len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        if let Some(row) = lengths.iter().position(|&length| length == 0) {
            let given = format!("sequence {row} of {} is empty", lengths.len());
            return Err(Error::Input { argument: "sequences", given, expected: "at least one token each".into() });
        }
        let mut ids = vec![pad; width * lengths.len()];
        for (row, sequence) in sequences.iter().enumerate() {
            let sequence = sequence.as_ref();
            if let Some(bad) = sequence.iter().find(|&&id| id as usize >= vocabulary) {
                let expected = format!("ids below {vocabulary}");
                return Err(Error::Input { argument: "sequences", given: format!("token id {bad}"), expected });
            }
            ids[row * width..][..sequence.len()].copy_from_slice(sequence);
        }
        Ok(Padded { ids, lengths, width })
    }

    /// Sequences.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Positions of the longest one.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Real positions of each.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// All ids, row after row.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Column `position` of every row.
    pub fn column(&self, position: usize) -> Vec<u32> {
        self.ids.iter().skip(position).step_by(self.width.max(1)).copied().collect()
    }

    /// The ids as a tensor, `[row, position]`.
    pub fn tensor(&self, device: &Device) -> Tensor<2, Int> {
        id_tensor(&self.ids, [self.rows(), self.width], device)
    }
}

/// Ids as an integer tensor of the given shape.
pub(crate) fn id_tensor<const D: usize>(ids: &[u32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Tensor::from_data(TensorData::new(ids, shape), device)
}

/// The rows of a table `[token, width]`, in 32 bits whatever it is stored in: `[row, position, width]`.
pub(crate) fn embed(table: &Param<Tensor<2>>, ids: &[u32], shape: [usize; 2]) -> Tensor<3> {
    let table = table.val();
    let ids = id_tensor(ids, shape, &table.device());
    burn::tensor::module::embedding(table, ids).cast(FloatDType::F32)
}
