//! Files of weights: what is written comes back, and what is broken is refused in words.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use common::{Tensors, close, scrambled, seq2seq, transformer};
use regard_models::weights::{Precision, assign, from_bytes, parameters, to_bytes};
use regard_models::{Decoding, Norm, TransformerConfig};
use safetensors::tensor::{Dtype, TensorView};

const FILE: &str = "some/model.safetensors";

fn write(module: &impl Module, precision: Precision) -> Vec<u8> {
    let metadata = BTreeMap::from([("kind".to_owned(), "test".to_owned())]);
    to_bytes(module, precision, metadata).unwrap()
}

/// What loading these bytes into a small Transformer says.
#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    let error = from_bytes(transformer(6, 2), bytes, Path::new(FILE)).expect_err("this is to be refused").to_string();
    error.strip_prefix(&format!("{FILE}: ")).expect("the message names the file").to_owned()
}

/// A file of f32, or of another type for one tensor.
fn file(tensors: &Tensors, other: Option<(&str, Dtype)>) -> Vec<u8> {
    let stored: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, numbers))| match other {
            Some((odd, dtype)) if odd == name => (name, shape, dtype, vec![1; numbers.len() * dtype.bitsize() / 8]),
            _ => (name, shape, Dtype::F32, numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
        })
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, dtype, bytes)| (name.as_str(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn f32_comes_back_to_the_bit() {
    fn check<M: Module>(model: M, other: M) {
        let bytes = write(&model, Precision::F32);
        assert_ne!(parameters(&other), parameters(&model));
        let loaded = from_bytes(other, &bytes, Path::new(FILE)).unwrap();
        assert_eq!(parameters(&loaded), parameters(&model));
        assert_eq!(write(&loaded, Precision::F32), bytes, "the same weights, the same file");
    }
    check(transformer(6, 1), transformer(6, 2));
    check(seq2seq(Decoding::Bahdanau, 6, 1), seq2seq(Decoding::Bahdanau, 6, 2));
    check(seq2seq(Decoding::Luong, 6, 1), seq2seq(Decoding::Luong, 6, 2));
    let config = TransformerConfig::new(6, common::SPECIALS).with_width(4).with_heads(2).with_inner(4);
    let model = config.with_norm(Norm::Pre).init(&Device::default()).unwrap();
    check(scrambled(model.clone(), 1, 1.0), scrambled(model, 2, 1.0));
}

#[test]
fn f16_comes_back_to_three_digits() {
    let model = transformer(6, 1);
    let bytes = write(&model, Precision::F16);
    assert!(bytes.len() < write(&model, Precision::F32).len() * 3 / 4);
    let loaded = parameters(&from_bytes(transformer(6, 2), &bytes, Path::new(FILE)).unwrap());
    for (name, (shape, expected)) in parameters(&model) {
        assert_eq!(loaded[&name].0, shape);
        close(&name, &loaded[&name].1, &expected, 5e-4);
    }
}

#[test]
fn what_f16_cannot_hold_stays_f32() {
    let mut tensors = parameters(&transformer(6, 1));
    tensors.get_mut("embedding").unwrap().1[0] = 70_000.0;
    let model = assign(transformer(6, 1), tensors.clone()).unwrap();
    let loaded = parameters(&from_bytes(transformer(6, 2), &write(&model, Precision::F16), Path::new(FILE)).unwrap());
    assert_eq!(loaded["embedding"], tensors["embedding"]);
}

#[test]
fn bf16_is_read_too() {
    let tensors = parameters(&transformer(6, 1));
    let bytes = file(&tensors, Some(("embedding", Dtype::BF16)));
    let loaded = parameters(&from_bytes(transformer(6, 2), &bytes, Path::new(FILE)).unwrap());
    let number = f32::from_bits(0x0101_0000);
    assert!(loaded["embedding"].1.iter().all(|&value| value == number));
}

#[test]
fn gradients_flow_into_loaded_weights() {
    let device = Device::default().autodiff();
    let config = TransformerConfig::new(6, common::SPECIALS).with_width(8).with_heads(2).with_inner(12);
    let config = config.with_encoder_layers(1).with_decoder_layers(2);
    let bytes = write(&transformer(6, 1), Precision::F16);
    let model = from_bytes(config.init(&device).unwrap(), &bytes, Path::new(FILE)).unwrap();
    assert!(model.embedding.val().is_require_grad());
    assert!(model.decoder[1].cross_attention.key.weight.val().is_require_grad());
}

#[test]
fn tensors_that_do_not_fit() {
    let whole = parameters(&transformer(6, 1));
    let name = "decoder.1.cross_attention.key.weight";

    let mut tensors = whole.clone();
    tensors.remove(name);
    assert_eq!(refusal(&file(&tensors, None)), format!("parameter {name} is missing"));

    let mut tensors = whole.clone();
    tensors.insert("encoder.9.bias".into(), (vec![2], vec![0.0; 2]));
    assert_eq!(refusal(&file(&tensors, None)), "tensor encoder.9.bias belongs to no parameter of this model");

    for shape in [vec![4, 16], vec![64], vec![8, 8, 1], vec![8, 0]] {
        let mut tensors = whole.clone();
        let expected = format!("tensor {name} has shape {shape:?}, expected [8, 8]");
        tensors.insert(name.into(), (shape.clone(), vec![0.5; shape.iter().product()]));
        assert_eq!(refusal(&file(&tensors, None)), expected);
    }

    for (number, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut tensors = whole.clone();
        tensors.get_mut(name).unwrap().1[5] = number;
        let expected = format!("tensor {name}: element 5 is {text}, expected finite numbers");
        assert_eq!(refusal(&file(&tensors, None)), expected);
    }

    for (dtype, text) in [(Dtype::I32, "I32"), (Dtype::U8, "U8"), (Dtype::F64, "F64"), (Dtype::BOOL, "BOOL")] {
        let expected = format!("tensor {name}: type {text}, expected F32, F16 or BF16");
        assert_eq!(refusal(&file(&whole, Some((name, dtype)))), expected);
    }
}

#[test]
fn numbers_that_do_not_fill_their_shape() {
    let mut tensors = parameters(&transformer(6, 1));
    tensors.get_mut("embedding").unwrap().1.pop();
    let problem = assign(transformer(6, 2), tensors).unwrap_err();
    assert_eq!(problem, "tensor embedding has 47 numbers, expected as many as [6, 8] holds");
}

#[test]
fn files_cut_short() {
    let bytes = write(&transformer(6, 1), Precision::F16);
    for end in (0..64).chain((64..bytes.len()).step_by(97)).chain([bytes.len() - 1]) {
        let problem = refusal(&bytes[..end]);
        assert!(problem.starts_with("not a safetensors file: "), "cut at {end}: {problem}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(refusal(&longer).starts_with("not a safetensors file: "));
}

#[test]
fn headers_with_flipped_bytes() {
    let (model, path) = (transformer(6, 1), Path::new(FILE));
    let whole = write(&model, Precision::F16);
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    // Some flips change nothing that matters (a character of the metadata); none may panic.
    for at in 0..header {
        let mut bytes = whole.clone();
        bytes[at] ^= [0x01, 0x10, 0x80, 0xff][at % 4];
        match from_bytes(model.clone(), &bytes, path) {
            Ok(_) => assert!(at >= 8, "a header of another length was accepted"),
            Err(error) => assert!(error.to_string().starts_with(FILE), "byte {at}: {error}"),
        }
    }
}

#[test]
fn headers_made_up_to_hurt() {
    let made = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let tensor = |shape: &str, offsets: &str| {
        made(&format!(r#"{{"embedding":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#))
    };
    let hostile = [
        b"hello".to_vec(),
        vec![0xff; 64],
        made(""),
        made("[]"),
        made("{"),
        tensor("[4294967296,4294967296,4294967296]", "[0,0]"),
        tensor("[6,8]", "[0,18446744073709551615]"),
        tensor("[6,8]", "[192,0]"),
        tensor("[6,8]", "[0,192]"),
        tensor("[-6,8]", "[0,192]"),
    ];
    for bytes in hostile {
        let problem = refusal(&bytes);
        assert!(problem.starts_with("not a safetensors file: "), "{problem}");
    }
    assert_eq!(refusal(&made("{}")), "parameter embedding is missing");
}
