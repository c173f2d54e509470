//! Class activation maps: against pytorch-grad-cam, and against each other.

mod common;

use common::{Oracle, close};
use regard_explain::cam::{Saliency, cam, grad_cam, hires_cam};

/// From 0 to 1, as pytorch-grad-cam shows it.
fn stretched(mut map: Saliency) -> Saliency {
    let low = map.values.iter().copied().fold(f32::INFINITY, f32::min);
    map.values.iter_mut().for_each(|value| *value -= low);
    let high = map.values.iter().copied().fold(0.0, f32::max);
    map.values.iter_mut().for_each(|value| *value /= 1e-7 + high);
    map
}

#[test]
fn are_what_pytorch_grad_cam_says() {
    let oracle = Oracle::open("cam");
    let (shape, values) = oracle.array("activations");
    let shape: [usize; 3] = shape.try_into().unwrap();
    let gradients = oracle.numbers("gradients");
    let maps = [
        ("grad_cam", grad_cam(&values, shape, &gradients).unwrap()),
        ("hires_cam", hires_cam(&values, shape, &gradients).unwrap().rectified()),
    ];
    for (name, map) in maps {
        let (size, expected) = oracle.array(name);
        let shown = stretched(stretched(map).upsampled(size[0], size[1]).unwrap());
        close(name, &shown.values, &expected, 1e-5);
    }
    // A linear layer follows the activations: the signed map adds up to the score less its constant.
    let sum: f32 = hires_cam(&values, shape, &gradients).unwrap().values.iter().sum();
    close("sum", &[sum], &oracle.numbers("score"), 1e-5);
}

#[test]
fn agree_where_pooling_and_one_linear_layer_follow() {
    // The score is the mean over places, so that the gradient is the class's weight over their number, everywhere.
    let values = [1.0, 2.0, 0.0, 4.0, -1.0, 0.5, 0.25, 3.0];
    let weights = [2.0, -1.0];
    let gradients: Vec<f32> = weights.iter().flat_map(|weight| [weight / 4.0; 4]).collect();
    let map = cam(&values, [2, 2, 2], &weights).unwrap();
    assert_eq!(map.values, [3.0, 3.5, -0.25, 5.0]);
    let quarter: Vec<f32> = map.values.iter().map(|value| value / 4.0).collect();
    assert_eq!(hires_cam(&values, [2, 2, 2], &gradients).unwrap().values, quarter);
    let rectified: Vec<f32> = quarter.iter().map(|value| value.max(0.0)).collect();
    assert_eq!(grad_cam(&values, [2, 2, 2], &gradients).unwrap().values, rectified);
}

#[test]
fn upsampling_keeps_centres_and_edges() {
    let map = Saliency { method: "CAM", height: 1, width: 2, values: vec![0.0, 1.0] };
    let larger = map.upsampled(3, 4).unwrap();
    assert_eq!(larger.values, [0.0, 0.25, 0.75, 1.0].repeat(3));
    assert_eq!(map.upsampled(1, 2).unwrap(), map);
}

#[test]
fn what_does_not_fit_is_refused() {
    let told = |result: regard_explain::Result<Saliency>| result.unwrap_err().to_string();
    assert!(told(cam(&[], [0, 2, 2], &[])).starts_with("activations: [0, 2, 2] given, at least one"));
    assert!(told(cam(&[0.0; 3], [1, 2, 2], &[1.0])).starts_with("activations: 3 numbers given, 4 expected"));
    assert!(told(cam(&[0.0; 4], [1, 2, 2], &[1.0, 2.0])).starts_with("weights: 2 numbers given, 1 expected"));
    assert!(told(grad_cam(&[0.0; 4], [1, 2, 2], &[f32::NAN; 4])).starts_with("gradients: number 0 is NaN"));
    assert!(told(hires_cam(&[0.0; 4], [1, 2, 2], &[0.0; 5])).starts_with("gradients: 5 numbers given"));
    let map = cam(&[1.0; 4], [1, 2, 2], &[1.0]).unwrap();
    assert!(told(map.upsampled(0, 5)).starts_with("size: 0 × 5 given"));
    assert!(told(map.upsampled(usize::MAX, 5)).contains("are too many"));
    assert!(told(Saliency { values: vec![1.0], ..map }.upsampled(2, 2)).starts_with("values: 1 numbers given"));
}
