//! `regard attribute`, `rollout`, `cam`, `faithfulness` and `diff`: what a model's answers come from, and how far to trust that.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use super::pretrained::model;
use super::process::{full, ran, regard, run, text};

const SENTENCE: &str = "A brown dog runs on the green grass.";

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ran(arguments).succeeds()).unwrap()
}

#[test]
fn a_word_of_the_shipped_translation_comes_from_its_source() {
    let found = json(&["attribute", SENTENCE, "--target", "chien", "--json", "--orders", "2"]);
    assert_eq!(found["model"], "translate-en-fr");
    assert!(found["number"].as_str().unwrap().starts_with("log-probability of \"chien\" in the translation"));
    let tokens: Vec<&str> = found["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    let explained = &found["explanations"][0];
    let scores = explained["explanation"]["scores"].as_array().unwrap();
    assert_eq!(scores.len(), tokens.len());
    let best = (0..scores.len()).max_by(|&a, &b| scores[a].as_f64().unwrap().total_cmp(&scores[b].as_f64().unwrap()));
    assert_eq!(tokens[best.unwrap()].trim(), "dog", "{found}");
    let trust = &explained["trust"];
    assert_eq!((&trust["orders"], &trust["perturbation"]), (&2.into(), &"replaced by the token <unk>".into()));
    assert!(trust["comprehensiveness"]["value"].as_f64() > trust["comprehensiveness"]["random"].as_f64());
    assert!(trust["randomisation"]["value"].is_number());
}

#[test]
fn every_method_stands_beside_the_others_and_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let [svg, html] = ["a.svg", "a.html"].map(|name| folder.path().join(name));
    let all = ["attribute", "A dog runs.", "--method", "all", "--orders", "2", "--html", text(&html)];
    let said = ran(&all).succeeds();
    for method in ["leave-one-out", "integrated gradients", "gradient × attention", "attention flow", "value zeroing"]
    {
        assert!(said.contains(method), "{method} in {said}");
    }
    assert!(said.contains("scores add up to") && said.contains("random orders") && said.contains("better is near 0"));
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("default-src 'none'"));
    assert!(page.matches("<svg").count() == 9 && page.contains("comprehensiveness"));
    ran(&[&all[..], &["--svg", text(&svg)]].concat()).fails(&["--svg takes one method, 9 given"]);
    let said = ran(&["attribute", "A dog runs.", "--no-trust", "--svg", text(&svg)]).succeeds();
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    assert!(
        said.contains("how far to trust this: not measured") && said.contains("log-probability of the translation"),
        "{said}"
    );
    let said = ran(&["attribute", "A dog runs.", "--heads"]).succeeds();
    assert!(said.contains("decoder.cross, layer 2, head") && said.contains("not missed one at a time"), "{said}");
    assert_eq!(json(&["attribute", "A dog runs.", "--heads", "--json"])["heads"].as_array().unwrap().len(), 28);
}

#[test]
fn what_heads_have_no_use_for_is_refused() {
    let heads = ["attribute", "A dog runs.", "--heads"];
    for other in ["--method=flow", "--orders=2", "--seed=2", "--no-trust", "--svg=a.svg", "--html=a.html"] {
        let option = other.split('=').next().unwrap();
        ran(&[&heads[..], &[other]].concat()).misused(option);
    }
}

#[test]
fn encoders_and_decoders_are_explained_too() {
    let folder = model("bert", &[(3, "[MASK]")]);
    let folder = text(folder.path());
    let asked = |rest: &[&str]| ran(&[&["attribute", "--model", folder, "--orders", "2"][..], rest].concat());
    let said = asked(&["w4 w5 w6", "--label", "good", "--method", "gradient-attention,rollout"]).succeeds();
    assert!(said.contains("logit of the label \"good\"") && said.contains("the token [MASK]"), "{said}");
    assert!(asked(&["w4 [MASK] w6"]).succeeds().contains("in the hidden place"));
    asked(&["w4 w5", "--label", "great"]).fails(&["label is \"great\", expected bad, so-so, good"]);
    asked(&["w4 [MASK]", "--target", "nothing"]).fails(&["target is \"nothing\"", "model's vocabulary"]);
    asked(&["w4 w5", "--target", "w6", "--label", "good"]).misused("cannot be used with");
    asked(&[&"w4 ".repeat(40)]).fails(&["40 tokens long", "24 positions"]);
    asked(&[" "]).fails(&["text is empty"]);
    asked(&["w4 w5", "--method", "importance"]).fails(&["method is \"importance\"", "leave-one-out, occlusion"]);
    let decoder = model("gpt2", &[]);
    let said = ran(&["attribute", "--model", text(decoder.path()), "w4 w5 w6", "--target", "w7", "--orders", "2"]);
    assert!(said.succeeds().contains("log-probability of \"w7\" as what follows"));
    ran(&["attribute", "--model", "/nowhere", "w4"]).fails(&["/nowhere"]);
    run(regard(&["attribute", "A dog.", "--no-trust"]).stdout(full())).fails(&["standard output", "No space left"]);
    // Longformer's attention is not looked into, but its answers can be asked for.
    let other = model("longformer", &[(3, "<mask>")]);
    let ran = ran(&["attribute", "--model", text(other.path()), "w4 w5 w6", "--method", "all", "--orders", "2"]);
    assert!(ran.err.contains("gradient × attention: not measured: model is one with another attention"), "{ran:?}");
    assert!(ran.succeeds().contains("integrated gradients"));
}

fn lines(folder: &Path, text: &str) -> String {
    let path = folder.join("texts.txt");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn methods_are_compared_on_many_texts() {
    let folder = tempfile::tempdir().unwrap();
    let file = lines(folder.path(), "A dog runs.\n\nTwo men sit.\nA girl is singing.\n");
    let arguments = ["faithfulness", &file, "--method", "leave-one-out,attention", "--orders", "2"];
    let said = ran(&arguments).succeeds();
    assert!(said.contains("mean of 3 inputs") && said.contains("leave-one-out") && said.contains('['), "{said}");
    assert!(!said.contains("flow"));
    let found = json(&[&arguments[..], &["--limit", "2", "--json"]].concat());
    let methods = found["methods"].as_array().unwrap();
    assert_eq!((methods.len(), &methods[0]["inputs"]), (2, &2.into()));
    assert_eq!(methods[0]["agreement"]["interval"].as_array().unwrap().len(), 2);

    let long = "dog ".repeat(4000);
    let file = lines(folder.path(), &format!("A dog runs.\n{long}\n"));
    let ran_on = ran(&["faithfulness", &file, "--method", "attention", "--orders", "2"]);
    assert!(ran_on.err.contains("line 2: sentence is"), "{ran_on:?}");
    assert!(ran_on.err.contains("1 of 2 texts were not measured"));
    assert!(ran_on.code == Some(1) && ran_on.out.contains("attention weights"), "{ran_on:?}");
    ran(&["faithfulness", &lines(folder.path(), "\n \n")]).fails(&["holds no text"]);
    ran(&["faithfulness", "/nowhere.txt"]).fails(&["/nowhere.txt", "No such file"]);
    ran(&["faithfulness", &file, "--method", "all,everything"]).fails(&["\"everything\""]);
}

#[test]
#[cfg(unix)]
fn interrupted_it_says_what_was_measured() {
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    let file = lines(folder.path(), &format!("{SENTENCE}\n").repeat(500));
    let mut child = regard(&["faithfulness", &file]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let code = child.wait().unwrap().code();
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("of 500 texts; these were measured") && !err.contains("panicked"), "{err}");
    assert!(out.contains("random orders") || out.contains("not measured"), "{out}");
}

#[test]
fn attention_is_followed_through_layers() {
    let folder = tempfile::tempdir().unwrap();
    let [trace, svg] = ["a.trace", "a.svg"].map(|name| folder.path().join(name));
    ran(&["translate", "--quiet", "A dog runs.", "--trace", text(&trace)]).succeeds();
    let said = ran(&["rollout", text(&trace), "--svg", text(&svg)]).succeeds();
    assert!(said.contains("attention rollout of decoder.cross up to layer 2, to source"), "{said}");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let of_text = json(&["rollout", "A dog runs.", "--json"]);
    assert_eq!(of_text, json(&["rollout", text(&trace), "--json"]));
    let shares = |found: &Value, map: usize| -> Vec<f64> {
        found["maps"][map]["shares"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect()
    };
    let queries = of_text["queries"].as_array().unwrap().len() as f64;
    let sum: f64 = shares(&of_text, 0).iter().chain(&shares(&of_text, 1)).sum();
    assert!((sum - queries).abs() < 1e-3, "{sum} of {queries} queries");
    // What was written before is followed, too, on the axis of what is read.
    let (own, side) = (shares(&of_text, 1), queries as usize);
    assert!(of_text["maps"][1]["to"] == "target read" && own[side] > 0.01, "{of_text}");
    let flow = json(&["rollout", "A dog runs.", "--site", "encoder.self", "--layer", "2", "--flow", "--json"]);
    assert!(flow["layer"] == 2 && shares(&flow, 0).iter().all(|share| (0.0..=1.0).contains(share)), "{flow}");
    let decoder = model("llama", &[]);
    ran(&["rollout", "w4 w5 w6", "--model", text(decoder.path())]).succeeds();
    ran(&["rollout", text(&trace), "--head", "2"]).fails(&["--head", "followed together"]);
    ran(&["rollout", text(&trace), "--site", "elsewhere"]).fails(&["\"elsewhere\"", "decoder.cross"]);
    ran(&["rollout", ""]).fails(&["the text is empty"]);
}

#[test]
fn two_traces_differ_where_their_heads_moved() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, other, svg] = ["a.trace", "b.trace", "c.trace", "a.svg"].map(|name| folder.path().join(name));
    ran(&["translate", "--quiet", "A dog runs.", "--trace", text(&first)]).succeeds();
    ran(&["translate", "--quiet", "A cat runs.", "--trace", text(&other)]).succeeds();
    // The same with one layer's weights moved to the next key.
    let bytes = fs::read(&first).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone();
    let tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let mut data = view.data().to_vec();
            if name.contains('0') {
                let keys = 4 * view.shape()[2];
                data.chunks_mut(keys).for_each(|row| row.rotate_left(4));
            }
            (name, view.shape().to_vec(), data)
        })
        .collect();
    let views =
        tensors.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    fs::write(&second, safetensors::serialize(views, metadata).unwrap()).unwrap();
    let said = ran(&["diff", text(&first), text(&second), "--svg", text(&svg)]).succeeds();
    assert!(said.contains("moved   most at") && said.contains("encoder.self, layer 1, head"), "{said}");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let same = json(&["diff", text(&first), text(&first), "--json"]);
    assert!(same["heads"].as_array().unwrap().iter().all(|head| head["moved"] == 0.0));
    let moved = json(&["diff", text(&first), text(&second), "--json"]);
    assert!(moved["heads"][0]["moved"].as_f64().unwrap() > 0.1, "{moved}");
    ran(&["diff", text(&first), text(&other)]).fails(&["the same tokens in both traces"]);
    ran(&["diff", text(&first), "nothing.trace"]).fails(&["nothing.trace", "No such file"]);
}

#[test]
fn a_map_of_an_image_is_laid_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let [file, svg, image] = ["a.safetensors", "a.svg", "a.png"].map(|name| folder.path().join(name));
    let numbers = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let (activations, gradients) = (numbers(&[1.0, 0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0]), numbers(&[0.5; 8]));
    let weights = numbers(&[1.0, -1.0]);
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let write = |tensors: Vec<(&str, TensorView)>| {
        fs::write(&file, safetensors::serialize(tensors, None).unwrap()).unwrap();
    };
    write(vec![
        ("activations", view(&[1, 2, 2, 2], &activations)),
        ("gradients", view(&[1, 2, 2, 2], &gradients)),
        ("weights", view(&[2], &weights)),
    ]);
    let values = |method: &str| json(&["cam", text(&file), "--method", method, "--json"])["values"].clone();
    assert_eq!(values("cam"), serde_json::json!([0.0, -1.0, -1.0, 1.0]));
    assert_eq!(values("grad-cam"), serde_json::json!([1.0, 0.5, 0.5, 1.5]));
    assert_eq!(values("hires-cam"), values("grad-cam"));
    // What a PNG of 40 × 30 begins and ends with: nothing between is looked at.
    let header = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0, 0, 0, 40, 0, 0, 0, 30]].concat();
    fs::write(&image, [&header, b"\0\0\0\0IEND\xaeB`\x82".as_slice()].concat()).unwrap();
    let laid = ["cam", text(&file), "--svg", text(&svg), "--image", text(&image)];
    let said = ran(&laid).succeeds();
    assert!(said.contains("CAM") && said.contains("Trust: not measured"), "{said}");
    let drawn = fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("data:image/png;base64,iVBORw0KGgo") && drawn.contains("speaks for the class"), "{drawn}");
    fs::write(&image, header).unwrap();
    ran(&laid).fails(&["a.png", "a png that is cut short"]);
    fs::write(&image, "no image").unwrap();
    ran(&laid).fails(&["a.png", "a PNG or a JPEG expected"]);

    write(vec![("activations", view(&[2, 2, 2], &activations))]);
    ran(&["cam", text(&file)]).fails(&["no tensor is called gradients"]);
    write(vec![("activations", view(&[8], &activations))]);
    ran(&["cam", text(&file)]).fails(&["activations have shape [8], expected [channel, row, column]"]);
    fs::write(&file, "nothing").unwrap();
    ran(&["cam", text(&file)]).fails(&["not a safetensors file"]);
    ran(&["cam", text(&file), "--image", text(&image)]).misused("--svg");
    ran(&["cam", "/nowhere"]).fails(&["/nowhere", "No such file"]);
}
