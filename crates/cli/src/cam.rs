//! `regard cam`: where in an image a network found what speaks for a class, from a layer's activations and gradients.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use regard_explain::cam::{Saliency, cam, grad_cam, hires_cam};
use regard_explain::render::{Panel, Scale, svg, terminal};
use regard_explain::{Axis, write_atomically};
use safetensors::{Dtype, SafeTensors};

use crate::{Result, output};

/// A file with more is not read.
const LARGEST: u64 = 1 << 30;

#[derive(Args)]
pub struct Cam {
    /// A safetensors file with the tensor `activations`, [channel, row, column], and `gradients` of the same shape or `weights`,
    /// [channel], all f32.
    file: PathBuf,
    /// Which map; CAM where the file has weights, or else HiResCAM, unless given.
    #[arg(long, value_enum)]
    method: Option<Kind>,
    /// An image, PNG or JPEG, that the map is laid over.
    #[arg(long, value_name = "FILE", requires = "svg")]
    image: Option<PathBuf>,
    /// Write the map as a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the numbers as JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Channels as the classifier weights them.
    Cam,
    /// Channels by the mean of their gradients.
    GradCam,
    /// Each place by its own gradient.
    HiresCam,
}

/// A tensor's shape and numbers.
type Tensor = (Vec<usize>, Vec<f32>);

impl Cam {
    pub fn run(self) -> Result {
        let map = self.map()?;
        let mut out = io::stdout().lock();
        if self.json {
            let object = serde_json::json!({
                "method": map.method, "height": map.height, "width": map.width, "values": map.values,
            });
            writeln!(out, "{object}")?;
        } else {
            let most = map.values.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
            let low = if map.values.iter().any(|value| *value < 0.0) { -most } else { 0.0 };
            let axis = |name: &str, count| Axis {
                name: name.into(),
                tokens: (1..=count).map(|at: usize| at.to_string()).collect(),
            };
            let scale = Scale { name: "speaks for the class".into(), low, high: most };
            let (rows, columns) = (axis("rows", map.height), axis("columns", map.width));
            let panel = Panel::new(map.method, rows, columns, &map.values, scale)?;
            write!(out, "{}", terminal::panels(&[panel], output::colour(), output::width()))?;
            writeln!(out, "Trust: not measured; it takes the network, and images with parts hidden.")?;
        }
        if let Some(path) = &self.svg {
            let image = self.image.as_ref().map(svg::Image::load).transpose()?;
            write_atomically(path, svg::overlay(&map, image.as_ref())?.as_bytes())?;
        }
        Ok(out.flush()?)
    }

    fn map(&self) -> Result<Saliency> {
        let unreadable = |error| format!("cannot read {}: {error}", self.file.display());
        let size = fs::metadata(&self.file).map_err(unreadable)?.len();
        if size > LARGEST {
            return Err(format!("{}: {size} bytes, expected at most {LARGEST}", self.file.display()).into());
        }
        let bytes = fs::read(&self.file).map_err(unreadable)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| format!("{}: not a safetensors file: {error}", self.file.display()))?;
        let (mut shape, activations) = self.tensor(&file, "activations")?;
        if shape.len() == 4 && shape[0] == 1 {
            shape.remove(0);
        }
        let Ok(shape) = <[usize; 3]>::try_from(&shape[..]) else {
            let expected = "expected [channel, row, column]";
            return Err(format!("{}: activations have shape {shape:?}, {expected}", self.file.display()).into());
        };
        let usual = if file.tensor("weights").is_ok() { Kind::Cam } else { Kind::HiresCam };
        let beside = |name| Ok::<_, Box<dyn std::error::Error + Send + Sync>>(self.tensor(&file, name)?.1);
        Ok(match self.method.unwrap_or(usual) {
            Kind::Cam => cam(&activations, shape, &beside("weights")?)?,
            Kind::GradCam => grad_cam(&activations, shape, &beside("gradients")?)?,
            Kind::HiresCam => hires_cam(&activations, shape, &beside("gradients")?)?,
        })
    }

    fn tensor(&self, file: &SafeTensors, name: &str) -> Result<Tensor> {
        let path = self.file.display();
        let view = file.tensor(name).map_err(|_| format!("{path}: no tensor is called {name}, expected one"))?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("{path}: {name} is of type {:?}, expected F32", view.dtype()).into());
        }
        let numbers = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok((view.shape().to_vec(), numbers))
    }
}
