//! Models with random weights; `ids` of sentences below the vocabulary.

use burn::tensor::Device;

/// What a function of the book ends with.
type Outcome = regard_models::Result<()>;

#[test]
fn what_the_book_prints_runs() {
    for (name, run) in [
        ("BahdanauDecoder", bahdanau_decoder as fn() -> Outcome),
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

/// GPT-2
fn gpt_2() -> Outcome {
    use regard::cache::CacheConfig;
    use regard_models::{Continuation, GptConfig, Sampling};

    let model = GptConfig::new(100, 64).with_width(32).with_heads(4).with_layers(2).init(&Device::default())?;
    let how = Sampling { temperature: 0.8, top_k: Some(20), seed: 1 };
    let written: Vec<u32> =
        Continuation::new(&model, &[5, 6, 7], how, CacheConfig::Contiguous)?.take(8).collect::<Result<_, _>>()?;
    assert_eq!(written.len(), 8);
    Ok(())
}

/// LLaMA
fn llama() -> Outcome {
    use regard::cache::CacheConfig;
    use regard_models::{Continuation, LlamaConfig, Sampling};

    let config = LlamaConfig::new(100).with_context(64).with_width(32).with_inner(64).with_heads(4);
    let model = config.with_key_heads(Some(2)).with_layers(2).init(&Device::default())?;
    // Two attention sinks and a window of 16: it may go on for ever.
    let cache = CacheConfig::Ring { sinks: 2, window: 16 };
    let how = Sampling { temperature: 0.8, top_k: Some(20), seed: 1 };
    let written: Vec<u32> = Continuation::new(&model, &[5, 6, 7], how, cache)?.take(100).collect::<Result<_, _>>()?;
    assert_eq!(written.len(), 100);
    Ok(())
}
