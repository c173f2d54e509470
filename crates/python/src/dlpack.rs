//! DLPack: how libraries show one another their arrays without a copy (<https://dmlc.github.io/dlpack>).
//!
//! An object has `__dlpack__()`, which returns a capsule. Its type may also have a table of C functions, which do the
//! same several times faster; small problems are done in less time than a tensor of PyTorch takes to make a capsule.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// An array that another library shows us; its memory stays as long as this lives.
pub struct Exported<'py> {
    tensor: NonNull<DlTensor>,
    _owner: Owner<'py>,
}

enum Owner<'py> {
    /// Its own destructor frees a capsule that nobody has consumed, so to keep it is to keep the memory.
    Capsule {
        _capsule: Bound<'py, PyAny>,
    },
    Managed {
        _managed: Managed,
    },
}

impl<'py> Exported<'py> {
    /// Asks an object; None if it has no DLPack. A tensor that gradients are recorded of is asked for one that they are
    /// not.
    ///
    /// # Errors
    /// What the library raises; `TypeError` if it does not keep to the protocol.
    pub fn of(object: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let py = object.py();
        let recorded =
            object.getattr_opt(intern!(py, "requires_grad"))?.is_some_and(|it| it.is_truthy().unwrap_or(false));
        let detached = if recorded { Some(object.call_method0(intern!(py, "detach"))?) } else { None };
        let object = detached.as_ref().unwrap_or(object);
        if let Some(managed) = Managed::of(object)? {
            // SAFETY: the library made it, and it is ours until it is dropped.
            let tensor = unsafe { NonNull::new_unchecked(&raw mut (*managed.0.as_ptr()).tensor) };
            return Ok(Some(Self { tensor, _owner: Owner::Managed { _managed: managed } }));
        }
        let Some(export) = object.getattr_opt(intern!(py, "__dlpack__"))? else { return Ok(None) };
        let capsule = export.call0()?;
        // A DLManagedTensor, whose first field is the DLTensor.
        let tensor = capsule.cast::<PyCapsule>()?.pointer_checked(Some(c"dltensor"))?.cast();
        Ok(Some(Self { tensor, _owner: Owner::Capsule { _capsule: capsule } }))
    }

    fn tensor(&self) -> &DlTensor {
        // SAFETY: the owner keeps it where it is, and nobody writes to it.
        unsafe { self.tensor.as_ref() }
    }

    /// Where the first element is.
    pub fn data(&self) -> *const c_void {
        self.tensor().data.cast_const().cast::<u8>().wrapping_add(self.tensor().byte_offset as usize).cast()
    }

    /// The kind of device that its memory is on.
    pub fn device(&self) -> i32 {
        self.tensor().device[0]
    }

    /// The type of the numbers: kind, bits, lanes.
    pub fn dtype(&self) -> (u8, u8, u16) {
        (self.tensor().code, self.tensor().bits, self.tensor().lanes)
    }

    /// Negative where the library claims so.
    pub fn shape(&self) -> &[i64] {
        self.axes(self.tensor().shape).unwrap_or_default()
    }

    /// In elements; none for an array without gaps.
    pub fn strides(&self) -> Option<&[i64]> {
        self.axes(self.tensor().strides)
    }

    fn axes(&self, pointer: *const i64) -> Option<&[i64]> {
        let count = usize::try_from(self.tensor().ndim).ok()?;
        // SAFETY: DLPack has a number for each axis behind these pointers, unless they are null.
        (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer, count) })
    }
}

/// What the table of functions gives, freed when it is dropped.
struct Managed(NonNull<DlManagedTensor>);

impl Managed {
    /// None if the object's type has no such table.
    fn of(object: &Bound<PyAny>) -> PyResult<Option<Self>> {
        let py = object.py();
        let Some(capsule) = object.get_type().getattr_opt(intern!(py, "__dlpack_c_exchange_api__"))? else {
            return Ok(None);
        };
        let table = capsule.cast::<PyCapsule>()?.pointer_checked(Some(c"dlpack_exchange_api"))?.cast::<ExchangeTable>();
        // SAFETY: behind this name there is a table of functions, which lives as long as the process.
        let table = unsafe { table.as_ref() };
        if table.version.major != 1 {
            return Ok(None);
        }
        let mut managed = null_mut();
        // SAFETY: the table is of the object's own type, and we are attached to the interpreter.
        let failed = unsafe { (table.managed_tensor_from_object)(object.as_ptr().cast(), &raw mut managed) } != 0;
        if failed {
            return Err(PyErr::fetch(py));
        }
        let missing = || PyTypeError::new_err("the library exported no tensor through DLPack");
        NonNull::new(managed).map(Self).ok_or_else(missing).map(Some)
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody looks at it any more.
        unsafe {
            if let Some(deleter) = self.0.as_ref().deleter {
                deleter(self.0.as_ptr());
            }
        }
    }
}

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    /// Kind and number.
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
struct Version {
    major: u32,
    _minor: u32,
}

/// `DLManagedTensorVersioned`
#[repr(C)]
struct DlManagedTensor {
    _version: Version,
    _context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlManagedTensor)>,
    _flags: u64,
    tensor: DlTensor,
}

/// `DLPackExchangeAPI`, as far as it is used.
#[repr(C)]
struct ExchangeTable {
    version: Version,
    _earlier: *mut c_void,
    _allocate: *const c_void,
    managed_tensor_from_object: unsafe extern "C" fn(*mut c_void, *mut *mut DlManagedTensor) -> i32,
}
