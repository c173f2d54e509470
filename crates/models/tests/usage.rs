//! Models with random weights; `ids` of sentences below the vocabulary.

use burn::tensor::Device;

/// What a function of the book ends with.
type Outcome = regard_models::Result<()>;

#[test]
fn what_the_book_prints_runs() {
    for (name, run) in [
        ("BahdanauDecoder", bahdanau_decoder as fn() -> Outcome),
        ("BERT", bert),
        ("RoBERTa", roberta),
        ("DistilBERT", distilbert),
        ("ALBERT", albert),
        ("LongformerEncoder", longformer),
        ("BigBirdEncoder", bigbird),
        ("GAT", gat),
        ("GPT-2", gpt_2),
        ("GPT-NeoX", gpt_neox),
        ("LLaMA", llama),
        ("Mistral", mistral),
        ("Qwen2", qwen2),
        ("Gemma2", gemma2),
        ("T5", t5),
        ("BART", bart),
        ("Marian", marian),
        ("LuongDecoder", luong_decoder),
        ("Transformer", transformer),
    ] {
        run().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// BahdanauDecoder
fn bahdanau_decoder() -> Outcome {
    use regard_models::{Decoding, Search, Seq2SeqConfig, Specials, search};

    let specials = Specials { pad: 0, begin: 1, end: 2 };
    let config = Seq2SeqConfig::new(100, specials, Decoding::Bahdanau).with_hidden(64);
    let model = config.init(&Device::default())?;
    let found = search(&model, &[vec![5, 6, 7]], &Search::default())?;
    assert_eq!(found.len(), 1);
    Ok(())
}

/// LuongDecoder
fn luong_decoder() -> Outcome {
    use regard_models::{Decoding, Search, Seq2SeqConfig, Specials, search};

    let specials = Specials { pad: 0, begin: 1, end: 2 };
    let config = Seq2SeqConfig::new(100, specials, Decoding::Luong).with_hidden(64);
    let model = config.init(&Device::default())?;
    let found = search(&model, &[vec![5, 6, 7]], &Search::default())?;
    assert_eq!(found.len(), 1);
    Ok(())
}

/// Transformer
fn transformer() -> Outcome {
    use regard_models::{Search, Specials, TransformerConfig, search};

    let specials = Specials { pad: 0, begin: 1, end: 2 };
    let config = TransformerConfig::new(100, specials).with_width(32).with_heads(4).with_inner(64);
    let model = config.init(&Device::default())?;
    let found = search(&model, &[vec![5, 6, 7]], &Search::default())?;
    assert_eq!(found.len(), 1);
    Ok(())
}

/// GAT
fn gat() -> Outcome {
    use burn::tensor::{Distribution, Tensor};
    use regard::{Graph, Mode};
    use regard_models::GatConfig;

    // Ten nodes in a ring, each with 20 features; three classes. A node sees the one before it, and itself.
    let device = Device::default();
    let edges: Vec<(u32, u32)> = (0..10).flat_map(|node| [(node, (node + 1) % 10), (node, node)]).collect();
    let graph = Graph::from_edges(10, &edges).map_err(regard::Error::from)?;
    let nodes = Tensor::random([10, 20], Distribution::Default, &device);
    let out = GatConfig::new(20, 3).init(&device)?.forward(nodes, &graph, Mode::Evaluate)?;
    // Each layer leaves a look at the weights of its edges.
    assert_eq!((out.logits.dims(), out.looks[0].weights()?.dims()), ([10, 3], [8, 20]));
    Ok(())
}

/// GPT-2
fn gpt_2() -> Outcome {
    use regard::cache::CacheConfig;
    use regard_models::{Continuation, GptConfig, Sampling};

    let model =
        GptConfig::new(100).with_context(64).with_width(32).with_heads(4).with_layers(2).init(&Device::default())?;
    let how = Sampling { temperature: 0.8, top_k: Some(20), seed: 1 };
    let continuation = Continuation::new(&model, &[5, 6, 7], how, CacheConfig::default())?;
    let written: Vec<u32> = continuation.take(8).collect::<Result<_, _>>()?;
    assert_eq!(written.len(), 8);
    Ok(())
}

/// LLaMA
fn llama() -> Outcome {
    use regard::cache::CacheConfig;
    use regard_models::{Continuation, LlamaConfig, Sampling};

    let config = LlamaConfig::new(100).with_context(64).with_width(32).with_inner(80).with_heads(4);
    let model = config.with_key_heads(Some(2)).with_layers(2).init(&Device::default())?;
    // The first 4 positions stay, and the last 60: a text without end.
    let cache = CacheConfig::Ring { sinks: 4, window: 60 };
    let how = Sampling { temperature: 0.8, top_k: Some(20), seed: 1 };
    let written: Vec<u32> = Continuation::new(&model, &[5, 6, 7], how, cache)?.take(8).collect::<Result<_, _>>()?;
    assert_eq!(written.len(), 8);
    Ok(())
}

/// GPT-NeoX
fn gpt_neox() -> Outcome {
    use regard::Mode;
    use regard_models::{GptNeoxConfig, LanguageModel, Padded};

    // A quarter of each head's features turns, and both parts of a layer read the same states.
    let config = GptNeoxConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(2);
    let model = config.init(&Device::default())?;
    let scores = model.forward(&Padded::new(&[[5, 6, 7]], 0, 100)?, Mode::Evaluate, None)?;
    assert_eq!(scores.dims(), [3, 100]);
    Ok(())
}

/// Mistral
fn mistral() -> Outcome {
    use regard::Mode;
    use regard_models::{LanguageModel, LlamaConfig, Padded};

    // A position sees itself and the three before it.
    let config = LlamaConfig::new(100).with_width(32).with_inner(80).with_heads(4).with_key_heads(Some(2));
    let model = config.with_layers(2).with_window(Some(4)).init(&Device::default())?;
    let mut sights = Vec::new();
    model.forward(&Padded::new(&[[5; 10]], 0, 100)?, Mode::Evaluate, Some(&mut sights))?;
    let last: Vec<f32> = sights[0].weights()?.slice([0..1, 0..1, 9..10]).into_data().try_into_vec().unwrap();
    assert!(last[..6].iter().all(|&weight| weight == 0.0));
    Ok(())
}

/// Qwen2
fn qwen2() -> Outcome {
    use regard::Mode;
    use regard_models::{LanguageModel, LlamaConfig, Padded};

    let config = LlamaConfig::new(100).with_width(32).with_inner(80).with_heads(4).with_layers(2);
    let model = config.with_bias(true).with_output_bias(Some(false)).with_tied(true).init(&Device::default())?;
    let scores = model.forward(&Padded::new(&[[5, 6, 7]], 0, 100)?, Mode::Evaluate, None)?;
    assert_eq!(scores.dims(), [3, 100]);
    Ok(())
}

/// Gemma2
fn gemma2() -> Outcome {
    use regard::Mode;
    use regard_models::{Activation, Gemma, LanguageModel, LlamaConfig, Padded, Windowed};

    let gemma = Gemma { scale_width: 8, score_cap: Some(50.0), token_cap: Some(30.0) };
    let config = LlamaConfig::new(100).with_width(32).with_inner(80).with_heads(4).with_layers(2).with_tied(true);
    let config = config.with_window(Some(4)).with_windowed(Windowed::Some(vec![true, false]));
    let model = config.with_activation(Activation::GeluTanh).with_gemma(Some(gemma)).init(&Device::default())?;
    let scores = model.forward(&Padded::new(&[[5, 6, 7]], 0, 100)?, Mode::Evaluate, None)?;
    assert!(scores.abs().max().into_scalar::<f32>() <= 30.0);
    Ok(())
}

/// T5
fn t5() -> Outcome {
    use regard_models::{Search, Specials, T5Config, search};

    let specials = Specials { pad: 0, begin: 0, end: 1 };
    let config = T5Config::new(100, specials).with_width(32).with_inner(64).with_heads(4).with_head_width(8);
    let model = config.with_encoder_layers(2).with_decoder_layers(2).init(&Device::default())?;
    let found = search(&model, &[vec![5, 6, 7]], &Search::default())?;
    assert_eq!(found.len(), 1);
    Ok(())
}

/// BART
fn bart() -> Outcome {
    use regard_models::{BartConfig, Search, Specials, search};

    let specials = Specials { pad: 1, begin: 2, end: 2 };
    let config = BartConfig::new(100, specials).with_width(32).with_encoder_inner(64).with_decoder_inner(64);
    let config = config.with_encoder_heads(4).with_decoder_heads(4).with_encoder_layers(2).with_decoder_layers(2);
    let model = config.with_longest(64).init(&Device::default())?;
    // As BART's authors search: the first token is given, and no three tokens come twice.
    let how = Search { first: Some(0), unrepeated: 3, ..Search::default() };
    assert_eq!(search(&model, &[vec![5, 6, 7]], &how)?.len(), 1);
    Ok(())
}

/// Marian
fn marian() -> Outcome {
    use regard_models::{Activation, BartConfig, BartPositions, Search, Specials, search};

    // Targets begin with padding.
    let specials = Specials { pad: 99, begin: 99, end: 0 };
    let config = BartConfig::new(100, specials).with_width(32).with_encoder_inner(64).with_decoder_inner(64);
    let config = config.with_encoder_heads(4).with_decoder_heads(4).with_encoder_layers(2).with_decoder_layers(2);
    let config = config.with_positions(BartPositions::Sines).with_embedding_norm(false).with_longest(64);
    let model = config.with_activation(Activation::Silu).init(&Device::default())?;
    assert_eq!(search(&model, &[vec![5, 6, 7]], &Search::default())?.len(), 1);
    Ok(())
}

/// BERT
fn bert() -> Outcome {
    use regard::Mode;
    use regard_models::{BertConfig, Encoder, Padded};

    let model =
        BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(2).init(&Device::default())?;
    // Two texts in one batch; the shorter is filled up with token 0, which nobody sees.
    let texts = Padded::new(&[vec![5, 6, 7, 8], vec![9, 10]], 0, 100)?;
    let mut sights = Vec::new();
    let states = model.states(&texts, None, Mode::Evaluate, Some(&mut sights))?;
    assert_eq!((states.dims(), sights[1].weights()?.dims()), ([2, 4, 32], [2, 4, 4, 4]));
    Ok(())
}

/// RoBERTa
fn roberta() -> Outcome {
    use regard::Mode;
    use regard_models::{BertConfig, Encoder, Padded};

    // Token 1 fills up, and positions are counted from 2; texts are not told apart.
    let config = BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(2);
    let model = config.with_pad(Some(1)).with_segments(1).init(&Device::default())?;
    let texts = Padded::new(&[vec![5, 6, 7, 8], vec![9, 10]], 1, 100)?;
    assert_eq!(model.states(&texts, None, Mode::Evaluate, None)?.dims(), [2, 4, 32]);
    Ok(())
}

/// DistilBERT
fn distilbert() -> Outcome {
    use regard::Mode;
    use regard_models::{Activation, BertConfig, Encoder, LabelHeadConfig, Padded};

    let labels = LabelHeadConfig { activation: Activation::Relu, names: vec!["no".into(), "yes".into()] };
    let config = BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(1);
    let model = config.with_segments(0).with_labels(Some(labels)).init(&Device::default())?;
    let states = model.states(&Padded::new(&[vec![5, 6, 7, 8]], 0, 100)?, None, Mode::Evaluate, None)?;
    assert_eq!(model.classify(states).map(|scores| scores.dims()), Some([1, 2]));
    Ok(())
}

/// ALBERT
fn albert() -> Outcome {
    use regard::Mode;
    use regard_models::{BertConfig, Encoder, Padded};

    // One layer, run four times, over tokens of 8 features.
    let config = BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(4);
    let model = config.with_embedded(Some(8)).with_distinct(Some(1)).init(&Device::default())?;
    let mut sights = Vec::new();
    model.states(&Padded::new(&[vec![5, 6, 7, 8]], 0, 100)?, None, Mode::Evaluate, Some(&mut sights))?;
    assert_eq!((model.layers.len(), sights.len()), (1, 4));
    Ok(())
}

/// LongformerEncoder
fn longformer() -> Outcome {
    use regard::Mode;
    use regard_models::{BertConfig, Encoder, Padded, Pattern};

    // 4 positions to each side in the first layer and 8 in the second; the first position is global.
    let pattern = Pattern::Windows { reach: vec![4, 8], global: vec![0] };
    let config = BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(2);
    let model = config.with_pattern(pattern).init(&Device::default())?;
    let text: Vec<u32> = (0..60).collect();
    assert_eq!(model.states(&Padded::new(&[text], 0, 100)?, None, Mode::Evaluate, None)?.dims(), [1, 60, 32]);
    Ok(())
}

/// BigBirdEncoder
fn bigbird() -> Outcome {
    use regard::Mode;
    use regard_models::{BertConfig, BlockSparse, Encoder, Padded, Pattern};

    // Of 15 blocks of 4 positions each sees 5 at most, the first of them twice.
    let pattern = Pattern::Blocks(BlockSparse { block: 4, random: 1 });
    let config = BertConfig::new(100).with_width(32).with_inner(64).with_heads(4).with_layers(2);
    let model = config.with_pattern(pattern).init(&Device::default())?;
    let text: Vec<u32> = (0..60).collect();
    assert_eq!(model.states(&Padded::new(&[text], 0, 100)?, None, Mode::Evaluate, None)?.dims(), [1, 60, 32]);
    Ok(())
}
