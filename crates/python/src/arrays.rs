//! Arrays of other libraries, read where they lie.
//!
//! numpy through its array [interface](crate::interface), any other library, such as PyTorch, through
//! [DLPack](crate::dlpack).
//!
//! As long as an [`Array`] lives, it holds what the library exported, and so the memory stays where it is. Nobody can
//! keep another thread from writing to it in the meantime: then the numbers read are some of the old and some of the
//! new, as in numpy.

use std::borrow::Cow;
use std::ffi::c_void;

use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use regard_kernel::bias::Lender;
use regard_kernel::{View, bf16, f16};

use crate::dlpack::Exported;
use crate::interface::Shown;
use crate::nouns::four;

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    BF16,
    I64,
    Bool,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I64 => 8,
            Self::Bool => 1,
        }
    }
}

/// An array of another library; strides count elements.
pub struct Array<'py> {
    name: String,
    data: *const c_void,
    kind: Kind,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// From the first to the last element, both included.
    span: usize,
    _owner: Owner<'py>,
}

/// Whatever keeps the memory alive.
enum Owner<'py> {
    Shown { _shown: Shown<'py> },
    Exported { _exported: Exported<'py> },
}

impl<'py> Array<'py> {
    /// Reads what is called `name` in errors.
    ///
    /// # Errors
    /// `TypeError` if it is no array or holds other numbers, `ValueError` if it is not in the processor's memory or has
    /// negative strides.
    pub fn read(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Some(shown) = Shown::of(object)? {
            return Self::from_interface(name, object, shown);
        }
        if let Some(exported) = Exported::of(object).map_err(|error| not_exported(name, object, error))? {
            return Self::from_dlpack(name, object, exported);
        }
        let given = object.get_type().fully_qualified_name()?;
        Err(PyTypeError::new_err(format!("{name} is a {given}: expected a numpy array or a CPU tensor")))
    }

    fn from_interface(name: &str, object: &Bound<'py, PyAny>, shown: Shown<'py>) -> PyResult<Self> {
        let kind = match shown.dtype() {
            Some((b'f', 4)) => Kind::F32,
            Some((b'f', 2)) => Kind::F16,
            Some((b'i', 8)) => Kind::I64,
            Some((b'b', 1)) => Kind::Bool,
            // The interface has no letter for bfloat16: to it, this is two bytes of anything.
            Some((b'V', 2)) if type_of(object) == "bfloat16" => Kind::BF16,
            _ => return Err(wrong_type(name, object)),
        };
        let (shape, size) = (shown.shape(), kind.size() as isize);
        if shape.iter().zip(shown.strides()).any(|(&n, stride)| n > 1 && stride % size != 0) {
            return Err(PyValueError::new_err(format!("{name} lies between numbers: call {name}.copy()")));
        }
        let strides = shown.strides().iter().map(|stride| stride / size).collect();
        Self::new(name, shown.data(), kind, shape.to_vec(), strides, Owner::Shown { _shown: shown })
    }

    fn from_dlpack(name: &str, object: &Bound<'py, PyAny>, exported: Exported<'py>) -> PyResult<Self> {
        // The processor's memory: plain, or pinned for CUDA or ROCm.
        if ![1, 3, 11].contains(&exported.device()) {
            let device = device_of(object).unwrap_or_else(|| "another device".into());
            return Err(PyValueError::new_err(format!("{name} is on {device}: call {name}.cpu()")));
        }
        let kind = match exported.dtype() {
            (2, 32, 1) => Kind::F32,
            (2, 16, 1) => Kind::F16,
            (4, 16, 1) => Kind::BF16,
            (0, 64, 1) => Kind::I64,
            (6, 8, 1) => Kind::Bool,
            _ => return Err(wrong_type(name, object)),
        };
        let shape: Vec<isize> = exported.shape().iter().map(|&n| n as isize).collect();
        let strides = exported.strides();
        let strides =
            strides.map_or_else(|| contiguous(&shape), |strides| strides.iter().map(|&n| n as isize).collect());
        Self::new(name, exported.data(), kind, shape, strides, Owner::Exported { _exported: exported })
    }

    fn new(
        name: &str,
        data: *const c_void,
        kind: Kind,
        shape: Vec<isize>,
        strides: Vec<isize>,
        owner: Owner<'py>,
    ) -> PyResult<Self> {
        let error = |what: String| Err(PyValueError::new_err(format!("{name} {what}")));
        if strides.len() != shape.len() {
            return error(format!("has {} axes and {} strides", shape.len(), strides.len()));
        }
        let Ok(shape) = shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>() else {
            return error(format!("has the shape {shape:?}: expected no negative axis"));
        };
        let empty = shape.contains(&0);
        let mut span = Some(usize::from(!empty));
        let mut positive = Vec::with_capacity(shape.len());
        for (&n, stride) in shape.iter().zip(strides) {
            // Nobody steps along an axis of one: its stride may be anything.
            let stride = if n > 1 && !empty { stride } else { 0 };
            let Ok(stride) = usize::try_from(stride) else {
                return error(format!("has negative strides: call {name}.copy()"));
            };
            span = span.and_then(|span| span.checked_add(n.saturating_sub(1).checked_mul(stride)?));
            positive.push(stride);
        }
        let Some(span) = span.filter(|span| span.checked_mul(kind.size()).is_some_and(|n| n <= isize::MAX as usize))
        else {
            return error(format!("of shape {shape:?} is larger than memory"));
        };
        if span > 0 && data.is_null() {
            return error("has no memory, as tensors that are only traced: give it numbers".into());
        }
        if span > 0 && !(data as usize).is_multiple_of(kind.size()) {
            return error(format!("is not aligned to its numbers: call {name}.copy()"));
        }
        Ok(Self { name: name.into(), data, kind, shape, strides: positive, span, _owner: owner })
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements from the first to the last, with whatever lies between them.
    ///
    /// `T` must be of the kind's size, and any bits must be a `T`.
    fn elements<T>(&self) -> &[T] {
        assert_eq!(size_of::<T>(), self.kind.size());
        if self.span == 0 {
            return &[];
        }
        // SAFETY: the owner keeps this many elements alive, and they are aligned and inside one allocation.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.span) }
    }

    /// The elements, to be written; of a new array only, of which nobody else has heard.
    pub(crate) fn elements_mut<T>(&mut self) -> &mut [T] {
        assert_eq!(size_of::<T>(), self.kind.size());
        if self.span == 0 {
            return &mut [];
        }
        // SAFETY: as for `elements`; the caller has just had the memory made.
        unsafe { std::slice::from_raw_parts_mut(self.data.cast_mut().cast(), self.span) }
    }

    /// The array as the kernel sees it, `[batch, head, position, feature]`.
    ///
    /// # Errors
    /// `ValueError` if it has not four axes, `TypeError` if its numbers are not floating.
    pub fn view(&self) -> PyResult<View<'_>> {
        let name = &self.name;
        let (Ok(shape), Ok(strides)) = (self.shape[..].try_into(), self.strides[..].try_into()) else {
            let given = format!("{name} is {}-dimensional, {:?}", self.shape.len(), self.shape);
            let hint = match self.shape.len() {
                2 => format!("; of one head: {name}[None, None]"),
                3 => format!("; of one batch: {name}[None], of one head: {name}[:, None]"),
                _ => String::new(),
            };
            return Err(PyValueError::new_err(format!("{given}: expected [batch, head, position, feature]{hint}")));
        };
        self.strided(shape, strides)
    }

    /// The array as numbers for each pair, `[batch, head, query, key]`; axes that are missing come first, and are 1.
    ///
    /// # Errors
    /// `ValueError` if it has more than four axes, `TypeError` if its numbers are not floating.
    pub fn pairs(&self) -> PyResult<View<'_>> {
        let mut strides = [0; 4];
        let shape = four(&self.name, &self.shape)?;
        strides[4 - self.strides.len()..].copy_from_slice(&self.strides);
        self.strided(shape, strides)
    }

    /// [`pairs`](Array::pairs), for a noun that knows nothing of Python.
    ///
    /// # Errors
    /// As `pairs`.
    ///
    /// # Safety
    /// The array must live until the noun, and every copy of it, is gone.
    pub unsafe fn lend(&self) -> PyResult<Lent> {
        // SAFETY: the caller sees to it that the memory outlives whoever may look at it.
        Ok(Lent(unsafe { std::mem::transmute::<View<'_>, View<'static>>(self.pairs()?) }))
    }

    fn strided(&self, shape: [usize; 4], strides: [usize; 4]) -> PyResult<View<'_>> {
        match self.kind {
            Kind::F32 => View::strided(self.elements::<f32>(), shape, strides),
            Kind::F16 => View::strided(self.elements::<f16>(), shape, strides),
            Kind::BF16 => View::strided(self.elements::<bf16>(), shape, strides),
            Kind::I64 | Kind::Bool => return Err(self.not_floats()),
        }
        .map_err(crate::refused)
    }

    /// The numbers in order, as `f32`; borrowed if they lie so.
    ///
    /// # Errors
    /// `TypeError` if they are not floating.
    pub fn numbers(&self) -> PyResult<Cow<'_, [f32]>> {
        let mut expected = 1usize;
        let plain = self.shape.iter().zip(&self.strides).rev().all(|(&n, &stride)| {
            let here = expected;
            expected = here.saturating_mul(n);
            n == 1 || stride == here
        });
        match self.kind {
            Kind::F32 if plain || self.span == 0 => Ok(Cow::Borrowed(self.elements())),
            Kind::F32 => Ok(Cow::Owned(self.gather(|x: f32| x)?)),
            Kind::F16 => Ok(Cow::Owned(self.gather(f16::to_f32)?)),
            Kind::BF16 => Ok(Cow::Owned(self.gather(bf16::to_f32)?)),
            Kind::I64 | Kind::Bool => Err(self.not_floats()),
        }
    }

    /// The booleans in order.
    ///
    /// # Errors
    /// `TypeError` if it holds something else.
    pub fn booleans(&self) -> PyResult<Vec<bool>> {
        self.bytes()?;
        self.gather(|byte: u8| byte != 0)
    }

    /// The booleans where they lie, a byte each, that is not 0 for true.
    ///
    /// # Errors
    /// `TypeError` if it holds something else.
    pub fn bytes(&self) -> PyResult<&[u8]> {
        if self.kind == Kind::Bool {
            return Ok(self.elements());
        }
        let name = &self.name;
        Err(PyTypeError::new_err(format!("{name} has no booleans: compare it, as in {name} != 0")))
    }

    /// Elements from one index of each axis to the next; 0 along an axis of one.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    fn gather<T: Copy, R>(&self, f: impl Fn(T) -> R + Copy) -> PyResult<Vec<R>> {
        fn axis<T: Copy, R>(
            data: &[T],
            shape: &[usize],
            strides: &[usize],
            f: impl Fn(T) -> R + Copy,
            to: &mut Vec<R>,
        ) {
            match (shape, strides) {
                ([n], [1]) => to.extend(data[..*n].iter().map(|&x| f(x))),
                ([n, shape @ ..], [stride, strides @ ..]) => {
                    for i in 0..*n {
                        axis(&data[i * stride..], shape, strides, f, to);
                    }
                }
                _ => to.push(f(data[0])),
            }
        }
        let mut gathered = Vec::new();
        if self.span > 0 {
            // A broadcast view can have any size.
            let size = self.shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n)).unwrap_or(usize::MAX);
            let too_large = |_| PyMemoryError::new_err(format!("{} has {size} numbers", self.name));
            gathered.try_reserve_exact(size).map_err(too_large)?;
            axis(self.elements(), &self.shape, &self.strides, f, &mut gathered);
        }
        Ok(gathered)
    }

    fn not_floats(&self) -> PyErr {
        let name = &self.name;
        let given = if self.kind == Kind::Bool { "booleans" } else { "whole numbers" };
        PyTypeError::new_err(format!("{name} has {given}: expected float32, float16 or bfloat16"))
    }
}

/// What an [`Array`] has lent.
#[derive(Clone, Copy, Debug)]
pub struct Lent(View<'static>);

impl Lender for Lent {
    fn view(&self) -> View<'_> {
        self.0
    }
}

/// The strides of an array without gaps.
fn contiguous(shape: &[isize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = isize::saturating_mul(strides[axis], shape[axis]);
    }
    strides
}

/// The name of an object's `dtype`, without its library.
fn type_of(object: &Bound<PyAny>) -> String {
    let name = object.getattr("dtype").map_or_else(|_| "of another type".into(), |dtype| dtype.to_string());
    name.rsplit('.').next().unwrap_or_default().into()
}

/// The name of the device that an object says it is on.
fn device_of(object: &Bound<PyAny>) -> Option<String> {
    Some(object.getattr("device").ok()?.to_string())
}

/// What a library raised that was asked for its array, in our terms: it may come with a page of its own addresses.
fn not_exported(name: &str, object: &Bound<PyAny>, error: PyErr) -> PyErr {
    let py = object.py();
    if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py) {
        return error;
    }
    let said = error.value(py).to_string();
    let reason = match device_of(object) {
        Some(device) if device == "meta" => "it is on meta, and has no numbers".into(),
        Some(device) if !device.starts_with("cpu") => format!("it is on {device}: call {name}.cpu()"),
        _ => said.lines().next().unwrap_or_default().to_owned(),
    };
    let ours = PyValueError::new_err(format!("{name} cannot be read: {reason}"));
    ours.set_cause(py, Some(error));
    ours
}

fn wrong_type(name: &str, object: &Bound<PyAny>) -> PyErr {
    let cast = if object.hasattr("astype").unwrap_or(false) { "astype(\"float32\")" } else { "float()" };
    let given = type_of(object);
    PyTypeError::new_err(format!("{name} is {given}: expected float32, float16 or bfloat16; call {name}.{cast}"))
}
