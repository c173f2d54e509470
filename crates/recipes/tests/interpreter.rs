//! The model that comes with the program, read from its folder.

use std::path::Path;

use regard_explain::Head;
use regard_models::Search;
use regard_recipes::interpreter::Interpreter;

fn shipped() -> Interpreter {
    Interpreter::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/translate-en-fr")).unwrap()
}

#[test]
fn a_batch_gives_what_each_sentence_gives_alone() {
    let interpreter = shipped();
    let sentences = ["Hi.", "My father works in a bank.", "Good night."];
    for beam in [1, 4] {
        let how = Search { beam, ..Search::default() };
        let together = interpreter.translate(&sentences, &how).unwrap();
        for (sentence, translation) in sentences.iter().zip(&together) {
            let alone = &interpreter.translate(&[sentence], &how).unwrap()[0];
            assert_eq!((&alone.source_ids, &alone.target_ids), (&translation.source_ids, &translation.target_ids));
            assert!((alone.score - translation.score).abs() < 1e-4, "{sentence}");
        }
    }
    assert!(interpreter.translate::<&str>(&[], &Search::default()).unwrap().is_empty());
}

#[test]
fn a_trace_shows_every_layer_and_its_rows_are_distributions() {
    let interpreter = shipped();
    let translation = &interpreter.translate(&["Good night."], &Search::default()).unwrap()[0];
    let trace = interpreter.trace(translation).unwrap();
    assert_eq!((trace.title.as_str(), trace.model.as_str()), ("Good night.", "translate-en-fr"));
    for (index, site) in trace.sites().iter().enumerate() {
        let (queries, keys) = (trace.queries(site).len(), trace.keys(site).len());
        let causal = site.name == "decoder.self";
        for head in 0..site.heads {
            let map = trace.map(index, Head::One(head)).unwrap();
            for query in 0..queries {
                let row: Vec<f32> = (0..keys).map(|key| map.weight(query, key)).collect();
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{} {head}: {row:?}", site.name);
                assert!(!causal || row[query + 1..].iter().all(|&weight| weight == 0.0), "{row:?}");
            }
        }
    }
    // Rows are the tokens written, to the end; columns those read.
    let cross = &trace.sites()[trace.find_last("decoder.cross").unwrap()];
    assert_eq!(trace.queries(cross).len(), translation.target_ids.len() + 1);
    assert_eq!(trace.keys(cross).len(), translation.source_ids.len() + 1);
    assert_eq!(trace.keys(cross).last().map(String::as_str), Some("<eos>"));
}

#[test]
fn a_sentence_may_be_as_long_as_it_says() {
    let interpreter = shipped();
    let longest = interpreter.longest();
    assert_eq!(interpreter.encode(&"a ".repeat(longest)).unwrap().len(), longest);
    let refused = |sentence: &str| interpreter.encode(sentence).unwrap_err().to_string();
    assert!(refused(&"a ".repeat(longest + 1)).contains(&format!("expected at most {longest}")));
    assert!(refused(" ").contains("blank"));
    let how = Search { limit: (0.0, 0), ..Search::default() };
    // The longest sentence goes through the network whole; what it says is not asked.
    assert!(interpreter.translate(&["a ".repeat(longest)], &how).unwrap()[0].target_ids.len() <= 1);
}

#[test]
fn a_search_that_makes_no_sense_is_refused() {
    let interpreter = shipped();
    for beam in [0, usize::MAX] {
        let how = Search { beam, ..Search::default() };
        let error = interpreter.translate(&["Hi."], &how).unwrap_err().to_string();
        assert!(error.contains("beam is"), "{error}");
    }
}
