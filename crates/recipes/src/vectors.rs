//! Vectors as files: numpy's `.npy` and safetensors.

use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};

/// `[vector, feature]` of f32 in numpy's format, version 1.0.
///
/// # Errors
/// When they are not equally long.
pub fn to_npy(vectors: &[Vec<f32>]) -> Result<Vec<u8>> {
    let width = width(vectors)?;
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {width}), }}", vectors.len()).into_bytes();
    // Magic, version and length take ten bytes; numbers begin at a multiple of 64, behind a line's end.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.resize(length - 1, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header);
    bytes.extend(vectors.iter().flatten().flat_map(|number| number.to_le_bytes()));
    Ok(bytes)
}

/// A tensor `embeddings [vector, feature]` of f32 in a safetensors file.
///
/// # Errors
/// When they are not equally long.
pub fn to_safetensors(vectors: &[Vec<f32>]) -> Result<Vec<u8>> {
    let shape = vec![vectors.len(), width(vectors)?];
    let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes).expect("as many numbers as the shape says");
    Ok(safetensors::serialize([("embeddings", view)], None).expect("one tensor has a name of its own"))
}

fn width(vectors: &[Vec<f32>]) -> Result<usize> {
    let width = vectors.first().map_or(0, Vec::len);
    match vectors.iter().position(|vector| vector.len() != width) {
        Some(at) => {
            let given = format!("vector {at} of {} numbers", vectors[at].len());
            Err(Error::option("vectors", given, format!("{width}, as the first has")))
        }
        None => Ok(width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_begin_as_their_formats_say() {
        let vectors = [vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]];
        let npy = to_npy(&vectors).unwrap();
        assert_eq!((&npy[..8], npy.len(), npy[127]), (&b"\x93NUMPY\x01\x00"[..], 128 + 24, b'\n'));
        assert!(String::from_utf8_lossy(&npy).contains("'shape': (2, 3)"));
        assert_eq!(npy[128..132], 1.0f32.to_le_bytes());
        let bytes = to_safetensors(&vectors).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("embeddings").unwrap().shape(), [2, 3]);
        assert!(to_npy(&[vec![1.0], vec![]]).unwrap_err().to_string().contains("vector 1 of 0 numbers"));
    }
}
