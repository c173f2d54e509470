//! Models with random weights; `ids` of sentences below the vocabulary.

use burn::tensor::Device;

/// What a function of the book ends with.
type Outcome = regard_models::Result<()>;

#[test]
fn what_the_book_prints_runs() {
    for (name, run) in [
        ("BahdanauDecoder", bahdanau_decoder as fn() -> Outcome),
        ("GAT", gat),
        ("GPT-2", gpt_2),
        ("LLaMA", llama),
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
