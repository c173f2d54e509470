use regard_recipes::{presets::Preset, train::{self, Event}};
use std::sync::atomic::AtomicBool;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let preset = Preset::named(&a[1]).unwrap();
    let mut t = preset.training();
    for kv in &a[4..] { let (k, v) = kv.split_once('=').unwrap(); match k {
        "steps" => t.steps = v.parse().unwrap(), "every" => t.validate_every = v.parse().unwrap(), "tokens" => t.max_tokens = v.parse().unwrap(),
        "rate" => t.adam.rate = v.parse().unwrap(), "warmup" => t.adam.warmup = v.parse().unwrap(), "shards" => t.shards = v.parse().unwrap(), _ => panic!() } }
    let stop = AtomicBool::new(false);
    let mut mean = 0.0; let start = std::time::Instant::now();
    let mut obs = |e: Event| match e {
        Event::Stepped { step, loss, speed, .. } => { mean = if step == 1 { speed } else { 0.95 * mean + 0.05 * speed }; if step <= 5 || step % 20 == 0 { println!("{step} loss {loss:.3} speed {speed:.0} mean {mean:.0} t {:.0}", start.elapsed().as_secs_f64()) } }
        e => println!("{e:?}") };
    let out = std::path::Path::new(&a[3]);
    let r = if out.join("run.json").exists() { train::resume(out, None, &stop, &mut obs) } else { train::start(a[2].as_ref(), out, None, preset.vocabulary(), |v| preset.architecture(v), t, &stop, &mut obs) };
    println!("{:?}", r.map_err(|e| e.to_string()));
}
