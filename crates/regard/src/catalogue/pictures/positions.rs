//! Pictures of positions: what queries and keys with nothing to say would see of each other.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use regard_kernel::probe::{Stage, Weights};
use regard_kernel::{Attention, Dot};

use super::scene::{GROUP, Rows, measured, numbered, observe, on_one_scale, read, same, set, tensor};
use super::{Draw, Panel, Picture};
use crate::attention::Look;
use crate::error::Result;
use crate::position::{
    LearnedPositionsConfig, RelativePositionsConfig, RotaryConfig, RotaryScaling, TransformerXlPositionsConfig,
    sinusoidal,
};
use crate::random::normals;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Sinusoidal", sinusoids),
    ("Learned", learned),
    ("Rotary", rotary),
    ("Relative", relative),
    ("TransformerXl", transformer_xl),
];

const LENGTH: usize = 32;
const WIDTH: usize = 4 * GROUP;

/// Inner products of positions, by way of a dot product's scores.
fn products(title: &str, positions: Tensor<2>) -> Result<Panel> {
    let rows = Rows::new(numbered(LENGTH), read(positions)?);
    Ok(pairs(title, scores(&rows, &rows)?))
}

fn scores(queries: &Rows, keys: &Rows) -> Result<Vec<f32>> {
    let mut probe = Weights::new().at(Stage::Masked);
    observe(&Attention::new(Dot), queries, keys, &mut probe)?;
    Ok(probe.into_values())
}

fn pairs(title: &str, values: Vec<f32>) -> Panel {
    measured(title, "score", ("query", LENGTH), ("key", LENGTH), values)
}

fn sinusoids() -> Result<Picture> {
    let table = sinusoidal(0, LENGTH, WIDTH, &Device::default());
    let hands = measured("the table", "feature", ("position", LENGTH), ("feature", WIDTH), read(table.clone())?);
    let alike = on_one_scale(vec![products("inner products", table)?]);
    let caption = "Left the vectors themselves, fast features first. Right how alike they are: near positions are, whatever their number.";
    Ok(Picture { caption: caption.to_owned(), panels: [on_one_scale(vec![hands]), alike].concat() })
}

fn learned() -> Result<Picture> {
    let mut layer = LearnedPositionsConfig::new(LENGTH, WIDTH).init(&Device::default());
    let random = normals(7, LENGTH * WIDTH).into_iter().map(|x| 0.02 * x as f32).collect();
    layer.table = Param::from_tensor(tensor(random, [LENGTH, WIDTH]));
    let panel = products("inner products", layer.forward(0, LENGTH)?)?;
    let caption = "Before training: small random vectors, each like itself alone. That 3 is near 4 has to be learned.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(vec![panel]) })
}

/// The same vector at every place, turned by it.
fn rotary() -> Result<Picture> {
    let turned = |title, scaling: Option<RotaryScaling>| -> Result<Panel> {
        let config = RotaryConfig::new(WIDTH).with_base(1000.0).with_scaling(scaling);
        let ones = Tensor::<4>::ones([1, 1, LENGTH, WIDTH], &Device::default());
        let rows = Rows::new(numbered(LENGTH), read(config.init()?.forward(ones, 0)?)?);
        Ok(pairs(title, scores(&rows, &rows)?))
    };
    let slowed = Some(RotaryScaling::Linear { factor: 4.0 });
    let panels = vec![turned("as trained", None)?, turned("slowed four times, for longer inputs", slowed)?];
    let caption =
        "Every query and key is the same vector, so that only the turning shows: the score depends on the distance.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(panels) })
}

/// What a look's biases add up to.
fn added(title: &str, look: &Look) -> Result<Panel> {
    let mut probe = Weights::new().at(Stage::Masked);
    look.observe(&mut [&mut probe])?;
    Ok(pairs(title, probe.into_values()))
}

fn relative() -> Result<Picture> {
    const REACH: usize = 6;
    let device = Device::default();
    let mut layer = RelativePositionsConfig::new(GROUP).with_reach(REACH).init(&device)?;
    let hump = |row: usize| {
        2.0 * (-0.3 * (row as f32 - REACH as f32 + 2.0).powi(2)).exp() - 0.2 * f32::from(u8::from(row > REACH))
    };
    let table = (0..(2 * REACH + 1) * GROUP).map(|at| hump(at / GROUP)).collect();
    layer.table = Param::from_tensor(tensor(table, [2 * REACH + 1, GROUP]));
    let queries = Tensor::<4>::ones([1, 1, LENGTH, GROUP], &device);
    let keys = Tensor::zeros([1, 1, LENGTH, GROUP], &device);
    let (_, look) = layer.forward(queries, keys.clone(), keys, &Attention::default())?;
    let caption = "The vectors are set by hand, for a head that looks two back. Distances over 6 count as 6, so that the corners are flat.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(vec![added("q · r of the distance", &look)?]) })
}

fn transformer_xl() -> Result<Picture> {
    let device = Device::default();
    let mut layer = TransformerXlPositionsConfig::new(1, WIDTH).init(&device)?;
    set(&mut layer.distance, same);
    // The second half of the sinusoids are cosines, greatest where the distance is 0.
    let asked = (0..WIDTH).map(|feature| f32::from(u8::from(feature >= WIDTH / 2))).collect();
    layer.place = Param::from_tensor(tensor(asked, [1, WIDTH]));
    let nothing = Tensor::<4>::zeros([1, 1, LENGTH, WIDTH], &device);
    let (_, look) = layer.forward(nothing.clone(), nothing.clone(), nothing, &Attention::default())?;
    let caption =
        "Queries and keys are 0, v is set by hand to ask for nearness: what remains is v · R of the distance.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(vec![added("v · R", &look)?]) })
}
