//! What decoders keep: with room for all it is full attention, and beyond it the definition, written down in f64.

mod common;

use std::fmt::Debug;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use common::{close, numbers, random};
use regard::cache::{CacheConfig, Compressive, HeavyHitters, Next, Paged, Policy, Ring};
use regard::position::{Pairs, Rotary, RotaryConfig};
use regard::{Attention, Causal, ScaledDot, ops};

const WIDTH: usize = 6;

fn causal() -> Attention {
    Attention::new(ScaledDot::default()).mask(Causal::default())
}

/// Queries, keys and values of a text, two query heads to a key head.
struct Text {
    tensors: [Tensor<4>; 3],
    rotary: Option<Rotary>,
    length: usize,
}

impl Text {
    fn new(seed: u64, batch: usize, length: usize, pairs: Option<Pairs>) -> Self {
        let device = Device::default();
        let tensor = |seed, heads, width| random::<4>(seed, [batch, heads, length, width], &device) * 2.0;
        let rotary = pairs.map(|pairs| RotaryConfig::new(WIDTH).with_pairs(pairs).init().unwrap());
        Text { tensors: [tensor(seed, 4, WIDTH), tensor(seed + 1, 2, WIDTH), tensor(seed + 2, 2, 5)], rotary, length }
    }

    fn part(&self, positions: Range<usize>) -> [Tensor<4>; 3] {
        self.tensors.clone().map(|tensor| tensor.slice_dim(2, positions.clone()))
    }

    /// What full attention finds.
    fn full(&self) -> Tensor<4> {
        let [queries, keys, values] = self.part(0..self.length);
        let turn = |tensor: Tensor<4>| match &self.rotary {
            Some(rotary) => rotary.forward(tensor, 0).unwrap(),
            None => tensor,
        };
        ops::attend(turn(queries), turn(keys), values, &causal()).unwrap().context
    }

    /// What a cache finds, taking in so many positions at a time.
    fn through(&self, cache: &mut dyn Policy, step: usize) -> Tensor<4> {
        let attention = causal();
        let starts = (0..self.length).step_by(step);
        let parts = starts.map(|start| {
            let [queries, keys, values] = self.part(start..self.length.min(start + step));
            let next = Next { queries, keys, values, rotary: self.rotary.as_ref(), attention: &attention };
            cache.attend(next).unwrap()
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// What a definition finds, of which there is one for each key head.
    fn defined(&self, mut cache: impl FnMut(usize) -> Box<dyn Defined>) -> Tensor<4> {
        let [batch, heads, length, _] = self.tensors[0].dims();
        let [q, k, v] = self.tensors.clone().map(|tensor| numbers(&tensor));
        let row = |of: &[f32], width: usize, unit: usize, at: usize| -> Vec<f64> {
            of[(unit * length + at) * width..][..width].iter().map(|&x| f64::from(x)).collect()
        };
        let mut out = vec![0f32; batch * heads * length * 5];
        for unit in 0..batch * heads / 2 {
            let mut cache = cache(unit);
            for t in 0..length {
                cache.push(t, row(&k, WIDTH, unit, t), row(&v, 5, unit, t));
                let slots = cache.slots(t);
                let mut received = vec![0.0; slots.len()];
                for head in [2 * unit, 2 * unit + 1] {
                    let query = row(&q, WIDTH, head, t);
                    let score = |slot: &Slot| {
                        let key = self.turned(&slot.key, slot.place - slot.query);
                        let dot: f64 = query.iter().zip(&key).map(|(a, b)| a * b).sum();
                        slot.count.ln() + dot / (WIDTH as f64).sqrt()
                    };
                    let weights: Vec<f64> = slots.iter().map(|slot| score(slot).exp()).collect();
                    let total: f64 = weights.iter().sum();
                    for (at, (weight, slot)) in weights.iter().zip(&slots).enumerate() {
                        received[at] += weight / total;
                        for (i, value) in slot.value.iter().enumerate() {
                            out[(head * length + t) * 5 + i] += (weight / total * value) as f32;
                        }
                    }
                }
                cache.note(&received);
            }
        }
        Tensor::from_data(TensorData::new(out, [batch, heads, length, 5]), &Device::default())
    }

    /// Turned by so many positions, by the equation of rotary positions: halves, base 10000.
    fn turned(&self, row: &[f64], by: f64) -> Vec<f64> {
        let mut turned = row.to_vec();
        for i in 0..if self.rotary.is_some() { WIDTH / 2 } else { 0 } {
            let angle = by * 10000f64.powf(-2.0 * i as f64 / WIDTH as f64);
            let (a, b) = (row[i], row[i + WIDTH / 2]);
            turned[i] = a * angle.cos() - b * angle.sin();
            turned[i + WIDTH / 2] = b * angle.cos() + a * angle.sin();
        }
        turned
    }
}

/// One key that can be looked at: where it stands, where the query stands, and how many it is worth.
#[derive(Clone)]
struct Slot {
    key: Vec<f64>,
    value: Vec<f64>,
    place: f64,
    query: f64,
    count: f64,
    received: f64,
}

trait Defined {
    fn push(&mut self, at: usize, key: Vec<f64>, value: Vec<f64>);
    fn slots(&mut self, query: usize) -> Vec<Slot>;
    fn note(&mut self, received: &[f64]);
}

/// All slots in a list, and what makes room in it.
struct List<F> {
    slots: Vec<Slot>,
    room: F,
    /// Positions count inside the list.
    inside: bool,
}

impl<F: FnMut(&mut Vec<Slot>)> Defined for List<F> {
    fn push(&mut self, at: usize, key: Vec<f64>, value: Vec<f64>) {
        (self.room)(&mut self.slots);
        self.slots.push(Slot { key, value, place: at as f64, query: 0.0, count: 1.0, received: 0.0 });
    }

    fn slots(&mut self, query: usize) -> Vec<Slot> {
        let last = self.slots.len() - 1;
        let place = |(at, slot): (usize, &Slot)| match self.inside {
            true => Slot { place: at as f64, query: last as f64, ..slot.clone() },
            false => Slot { query: query as f64, ..slot.clone() },
        };
        self.slots.iter().enumerate().map(place).collect()
    }

    fn note(&mut self, received: &[f64]) {
        self.slots.iter_mut().zip(received).for_each(|(slot, weight)| slot.received += weight);
    }
}

fn list<F: FnMut(&mut Vec<Slot>) + 'static>(inside: bool, room: F) -> Box<dyn Defined> {
    Box::new(List { slots: Vec::new(), room, inside })
}

#[test]
fn with_room_for_everything_it_is_full_attention() {
    for (seed, length) in [(1, 1), (2, 7), (3, 40), (4, 90)] {
        for pairs in [None, Some(Pairs::Halves), Some(Pairs::Interleaved)] {
            let text = Text::new(10 * seed, 2, length, pairs);
            let full = text.full();
            for (name, tolerance) in [
                ("full".into(), 1e-5),
                ("paged:64".into(), 1e-5),
                ("f16".into(), 2e-3),
                ("bf16".into(), 2e-2),
                ("int8".into(), 3e-2),
                (format!("ring:0+{length}"), 1e-5),
                (format!("ring:{length}+1"), 1e-5),
                (format!("h2o:1+{length}"), 1e-5),
                (format!("h2o:{length}+1"), 1e-5),
                (format!("compressive:1x2+{}", length + 1), 1e-5),
                (format!("compressive:{length}x2+2"), 1e-5),
                ("ring:4+1000000000000".into(), 1e-5),
            ] {
                let mut cache = name.parse::<CacheConfig>().unwrap().init().unwrap();
                close(&name, &text.through(&mut *cache, 1 + length / 3), &full, tolerance);
                assert_eq!(cache.held(), length, "{name}");
            }
        }
    }
}

#[test]
fn a_ring_keeps_the_first_and_the_last() {
    for pairs in [None, Some(Pairs::Halves)] {
        let text = Text::new(50, 2, 33, pairs);
        for (sinks, window) in [(2, 5), (0, 4), (1, 1), (7, 2)] {
            let room = move |slots: &mut Vec<Slot>| {
                if slots.len() == sinks + window {
                    slots.remove(sinks);
                }
            };
            let expected = text.defined(|_| list(true, room));
            for step in [1, 4, 33] {
                let mut ring = Ring::new(sinks, window).unwrap();
                close("ring", &text.through(&mut ring, step), &expected, 1e-5);
                assert_eq!((ring.held(), ring.reach()), (sinks + window, Some(sinks + window)));
            }
        }
    }
}

#[test]
fn heavy_hitters_keep_what_received_the_most() {
    for pairs in [None, Some(Pairs::Halves)] {
        let text = Text::new(60, 2, 33, pairs);
        for (heavy, recent) in [(3, 4), (1, 1), (6, 2)] {
            let room = move |slots: &mut Vec<Slot>| {
                if slots.len() == heavy + recent {
                    let candidates = slots[..heavy + 1].iter().enumerate();
                    let least = candidates.min_by(|(_, a), (_, b)| a.received.total_cmp(&b.received)).unwrap().0;
                    slots.remove(least);
                }
            };
            let expected = text.defined(|_| list(false, room));
            for step in [1, 5, 33] {
                let mut cache = HeavyHitters::new(heavy, recent).unwrap();
                close("heavy hitters", &text.through(&mut cache, step), &expected, 1e-5);
                assert_eq!((cache.held(), cache.reach()), (heavy + recent, None));
            }
        }
    }
}

#[test]
fn a_compressive_memory_keeps_means_of_what_is_old() {
    for pairs in [None, Some(Pairs::Halves)] {
        let text = Text::new(70, 2, 33, pairs);
        for (memory, rate, recent) in [(3, 2, 4), (1, 4, 4), (2, 3, 7)] {
            let room = move |slots: &mut Vec<Slot>| {
                if slots.len() < memory + recent {
                    return;
                }
                let mut pooled = slots.iter().filter(|slot| slot.count > 1.0).count();
                if pooled == memory {
                    slots.remove(0);
                    pooled -= 1;
                }
                let old: Vec<Slot> = slots.drain(pooled..pooled + rate).collect();
                let total: f64 = old.iter().map(|slot| slot.received).sum();
                let place = old.iter().map(|slot| slot.place).sum::<f64>() / rate as f64;
                let mean = |row: &dyn Fn(&Slot) -> Vec<f64>, width: usize| -> Vec<f64> {
                    (0..width).map(|i| old.iter().map(|slot| slot.received / total * row(slot)[i]).sum()).collect()
                };
                let (key, value) = (mean(&|slot| slot.key.clone(), WIDTH), mean(&|slot| slot.value.clone(), 5));
                slots.insert(pooled, Slot { key, value, place, query: 0.0, count: rate as f64, received: total });
            };
            let expected = text.defined(|_| list(false, room));
            for step in [1, 5, 33] {
                let mut cache = Compressive::new(memory, rate, recent).unwrap();
                close("compressive", &text.through(&mut cache, step), &expected, 1e-5);
                assert!(cache.held() <= memory + recent);
                assert_eq!(cache.reach(), Some(memory * rate + recent));
            }
        }
    }
}

#[test]
fn means_of_equal_positions_lose_nothing() {
    let mut text = Text::new(80, 1, 24, None);
    for tensor in &mut text.tensors[1..] {
        let [batch, heads, _, width] = tensor.dims();
        *tensor = tensor.clone().slice_dim(2, 0..1).expand([batch, heads, 12, width]);
        let other = random::<4>(9, [batch, heads, 1, width], &Device::default()).expand([batch, heads, 12, width]);
        *tensor = Tensor::cat(vec![tensor.clone(), other], 2);
    }
    let mut cache = Compressive::new(3, 4, 12).unwrap();
    close("means", &text.through(&mut cache, 1), &text.full(), 1e-5);
    assert!(cache.held() < 24);
}

#[test]
fn what_makes_no_cache_is_refused() {
    fn says<T: Debug>(result: regard::Result<T>, expected: &str) {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
    says(Ring::new(4, 0), "window is 0, expected at least 1");
    says(HeavyHitters::new(0, 3), "heavy is 0, expected at least 1");
    says(HeavyHitters::new(3, 0), "recent is 0, expected at least 1");
    says(Compressive::new(0, 2, 3), "memory is 0, expected at least 1");
    says(Compressive::new(2, 1, 3), "rate is 1, expected at least 2");
    says(Compressive::new(2, 4, 3), "recent is 3, expected at least 4");
    for positions in [0, 100] {
        let given = Paged::new(positions).unwrap_err().to_string();
        assert_eq!(given, format!("page: {positions} given, a positive multiple of 64 expected"));
    }
    for text in
        ["", "ring", "ring:4", "ring:4+0", "ring:4x64", "ring:-1+4", "h2o:64", "paged:7", "int4", "f16:3", "full:"]
    {
        assert!(text.parse::<CacheConfig>().is_err(), "{text:?}");
    }
    for text in ["full", "f16", "bf16", "int8", "paged:256", "ring:4+64", "h2o:64+64", "compressive:32x4+64"] {
        assert_eq!(text.parse::<CacheConfig>().unwrap().to_string(), text);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_not_remembered() {
    let text = Text::new(90, 2, 6, None);
    for name in ["full", "int8", "paged:64", "ring:1+3", "h2o:2+2", "compressive:1x2+2"] {
        let mut cache = name.parse::<CacheConfig>().unwrap().init().unwrap();
        let attention = causal();
        let mut attend = |queries: &Tensor<4>, keys: &Tensor<4>, values: &Tensor<4>| {
            let (queries, keys, values) = (queries.clone(), keys.clone(), values.clone());
            cache
                .attend(Next { queries, keys, values, rotary: None, attention: &attention })
                .map(|context| context.dims())
        };
        let [q, k, v] = text.part(0..3);
        assert_eq!(attend(&q, &k, &v).unwrap(), [2, 4, 3, 5], "{name}");
        let short = q.clone().slice_dim(2, 0..2);
        assert!(attend(&short, &k, &v).unwrap_err().to_string().contains("as many positions as queries, 2"), "{name}");
        let one = |tensor: &Tensor<4>| tensor.clone().slice_dim(0, 0..1);
        let error = attend(&one(&q), &one(&k), &one(&v)).unwrap_err().to_string();
        assert!(
            error.contains("keys has shape [1, 2, 3, 6], expected [2, 2, 3, 6], as the cache holds"),
            "{name}: {error}"
        );
        let narrow = v.clone().slice_dim(3, 0..4);
        assert!(attend(&q, &k, &narrow).unwrap_err().to_string().contains("values has shape"), "{name}");
        assert!(cache.held() <= 4, "{name}");
    }
}
