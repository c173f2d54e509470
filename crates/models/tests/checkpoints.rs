//! Files of weights: what is right is read to the number, and whatever is wrong is refused by name.

mod common;

use std::fs;
use std::path::Path;

use common::{Oracle, close, copy, folder, numbers, refused, rewrite, set};
use regard::{Mode, mix};
use regard_models::pretrained::{self, Checkpoint, Fields, Pretrained, gguf};
use regard_models::{LanguageModel, Padded};

#[test]
fn a_configuration_that_makes_no_model_is_refused() {
    let at = copy("gpt_neox");
    let at = at.path();
    set(at, "hidden_act", "\"mish\"");
    refused(at, "config.json: hidden_act: configuration: activation is \"mish\", expected gelu, gelu_new");
    set(at, "hidden_act", "\"gelu\"");
    set(at, "num_hidden_layers", "1000000000000");
    refused(at, "1000000000000 layers, the weights have 28 tensors");
    set(at, "num_hidden_layers", "3");
    refused(at, "tensor gpt_neox.layers.2.input_layernorm.weight is missing");
    set(at, "num_hidden_layers", "\"two\"");
    refused(at, "the field num_hidden_layers is \"two\": ");
    set(at, "num_hidden_layers", "2");
    set(at, "vocab_size", "24");
    refused(at, "tensor gpt_neox.embed_in.weight has shape [23, 16], the configuration asks for [24, 16]");
    set(at, "vocab_size", "9007199254740993");
    refused(at, "the configuration asks for [9007199254740993, 16]");
    set(at, "vocab_size", "23");
    set(at, "intermediate_size", "21");
    refused(at, "mlp.dense_h_to_4h.weight has shape [20, 16], the configuration asks for [21, 16]");
    set(at, "intermediate_size", "20");
    set(at, "num_attention_heads", "3");
    refused(at, "heads is 3, expected a divisor of the width 16");
    set(at, "num_attention_heads", "4");
    set(at, "rope_parameters", r#"{"rope_type": "longrope", "rope_theta": 1e4}"#);
    refused(at, "rope_type is \"longrope\", expected default, linear, llama3 or yarn");
    set(at, "model_type", "\"mamba\"");
    refused(at, "model_type is \"mamba\", expected one of ");
    set(at, "model_type", "null");
    refused(at, "the field model_type is missing");
    fs::write(at.join("config.json"), "[1]").unwrap();
    refused(at, "config.json: no configuration: ");
    fs::remove_file(at.join("config.json")).unwrap();
    refused(at, "config.json: cannot be read: ");
}

#[test]
fn weights_that_are_damaged_are_refused() {
    let at = copy("gpt_neox");
    let at = at.path();
    let path = at.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(at, if length == 0 { "0 bytes, expected weights" } else { "not a whole safetensors file: " });
    }
    let mut claims = whole.clone();
    claims[..8].copy_from_slice(&1_000_000_000_000_000_000u64.to_le_bytes());
    fs::write(&path, &claims).unwrap();
    refused(at, "not a whole safetensors file: ");
    fs::write(&path, &whole).unwrap();
    rewrite(at, "embed_out.weight", |_, _| None);
    refused(at, "tensor embed_out.weight is missing");
    fs::write(&path, &whole).unwrap();
    rewrite(at, "gpt_neox.final_layer_norm.bias", |shape, mut data| {
        data[20..24].copy_from_slice(&f32::NAN.to_le_bytes());
        Some((shape, data))
    });
    refused(at, "tensor gpt_neox.final_layer_norm.bias: element 5 is not a finite number");
    fs::write(&path, &whole).unwrap();
    rewrite(at, "gpt_neox.final_layer_norm.bias", |_, data| Some((vec![4, 4], data)));
    refused(at, "tensor gpt_neox.final_layer_norm.bias has shape [4, 4], expected 1 axes");
    fs::remove_file(&path).unwrap();
    refused(at, "model.safetensors: cannot be read: ");
    fs::write(at.join("pytorch_model.bin"), "pickle").unwrap();
    refused(at, "pytorch_model.bin: is a Python pickle, which can run any program while it is read: convert it");
}

#[test]
fn shards_that_are_missing_or_elsewhere_are_refused() {
    let at = copy("llama");
    let at = at.path();
    let index = at.join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("model-00002", "../model-00002")).unwrap();
    refused(at, "is not the name of a file beside it");
    fs::write(&index, text.replace("model.norm.weight", "model.other.weight")).unwrap();
    refused(at, "tensor model.other.weight is not in its shard model-0000");
    fs::write(&index, "{}").unwrap();
    refused(at, "no index of shards: ");
    fs::write(&index, &text).unwrap();
    fs::copy(at.join("model-00001-of-00004.safetensors"), at.join("model-00002-of-00004.safetensors")).unwrap();
    refused(at, "is in another shard, too");
    fs::remove_file(at.join("model-00003-of-00004.safetensors")).unwrap();
    fs::copy(folder("llama").join("model-00002-of-00004.safetensors"), at.join("model-00002-of-00004.safetensors"))
        .unwrap();
    refused(at, "the shard model-00003-of-00004.safetensors with ");
}

#[test]
fn tensors_may_lie_anywhere() {
    // A header of an odd length moves every number to where its type may not be.
    let at = copy("gpt_neox");
    let path = at.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut moved = (header as u64 + 1).to_le_bytes().to_vec();
    moved.extend(&whole[8..8 + header]);
    moved.push(b' ');
    moved.extend(&whole[8 + header..]);
    fs::write(&path, moved).unwrap();
    let logits = |folder: &Path| match pretrained::open(folder).unwrap() {
        Pretrained::Decoder(model) => {
            numbers(&model.forward(&Padded::new(&[[1, 2, 3]], 0, 23).unwrap(), Mode::Evaluate, None).unwrap())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(logits(at.path()), logits(&folder("gpt_neox")));
}

#[test]
fn whatever_files_say_the_answer_is_a_model_or_an_error() {
    for checkpoint in ["gpt_neox", "albert", "longformer"] {
        let at = copy(checkpoint);
        let at = at.path();
        for name in ["config.json", "model.safetensors"] {
            let whole = fs::read(at.join(name)).unwrap();
            // The header is where anything can be claimed.
            let reach = whole.len().min(3000) as u64;
            for seed in 0..500 {
                let mut bytes = whole.clone();
                for change in 0..1 + seed % 3 {
                    let random = mix(seed * 8 + change);
                    bytes[(random % reach) as usize] = (random >> 32) as u8;
                }
                fs::write(at.join(name), &bytes).unwrap();
                let _ = pretrained::open(at);
            }
            fs::write(at.join(name), &whole).unwrap();
        }
        pretrained::open(at).unwrap();
    }
}

#[test]
fn gguf_of_every_type_agrees_with_transformers() {
    let file = Oracle::pretrained("gguf");
    let expected = file.tensors_as_stored();
    let text = Padded::new(&file.ids("ids"), 0, 11).unwrap();
    for kind in ["f32", "f16", "q8_0", "q4_0"] {
        let gguf = gguf::open(&folder("gguf").join(format!("{kind}.gguf"))).unwrap();
        let logits = gguf.model.forward(&text, Mode::Evaluate, None).unwrap();
        close(kind, &numbers(&logits), &expected[kind].1, 1e-4);
        assert_eq!(gguf.model.config().tied, kind == "q4_0");
        let vocabulary = gguf.vocabulary.unwrap();
        assert_eq!((&*vocabulary.kind, vocabulary.begin, vocabulary.end), ("llama", Some(1), Some(2)));
        assert_eq!((&*vocabulary.tokens[10], vocabulary.scores[10]), ("▁ab", -10.0));
    }
}

#[test]
fn gguf_that_is_damaged_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("model.gguf");
    let whole = fs::read(folder("gguf").join("q8_0.gguf")).unwrap();
    let refused = |bytes: &[u8], said: &str| {
        fs::write(&path, bytes).unwrap();
        let error = gguf::open(&path).unwrap_err().to_string();
        assert!(error.contains("model.gguf: ") && error.contains(said), "{said:?} in {error:?}");
    };
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refused(b"GGML1234", "does not begin with GGUF");
    refused(&[b"GGUF", &1u32.to_le_bytes()[..]].concat(), "version 1, expected 2 or 3");
    refused(&replaced("llama", "gemma"), "the architecture is \"gemma\", expected llama");
    refused(&replaced("llama.block_count", "llama.block_coins"), "llama.block_count is missing");
    refused(&replaced("blk.0.ffn_up", "blk.0.ffn_no"), "tensor blk.0.ffn_up.weight is missing");
    refused(&whole[..whole.len() - 64], "reaches beyond the end of the file");
    refused(&whole[..200], "ends at byte 200, in the middle of its header");
    let mut claims = whole.clone();
    claims[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&claims, "");
    for seed in 0..3000u64 {
        let mut bytes = whole.clone();
        for change in 0..1 + seed % 3 {
            let random = mix(seed * 8 + change);
            bytes[(random % 1600) as usize] = (random >> 32) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        let _ = gguf::open(&path);
    }
}

#[test]
fn fields_and_tensors_can_be_asked_for() {
    let fields = Fields::open(&folder("gpt2")).unwrap();
    assert_eq!(fields.get::<usize>("n_embd").unwrap(), 16);
    assert!(fields.get::<usize>("nothing").unwrap_err().to_string().contains("the field nothing is missing"));
    let file = Checkpoint::open(&folder("llama")).unwrap();
    assert_eq!((file.count(), file.shape("model.norm.weight")), (file.names().count(), Some(&[16][..])));
    assert!(file.has("model.norm.weight") && !file.has("lm_head.weight"));
}
