//! Arrays out of Python's pickles, without running anything: what numpy, scipy and Python 2 wrote, and nothing else.
//!
//! A pickle is a program for a stack machine, and loading it in Python calls whatever it names. Here it may name six things, all of
//! which are known: numpy's arrays and their types, scipy's sparse matrices (compressed rows), lists, and dictionaries of lists. A call
//! is noted down and never made; what it would have made is read from its arguments afterwards. Any other name, operation or version
//! is refused.
//!
//! Every operation takes a byte or more and makes one value at most, and strings stay where they lie in the file, so memory is bounded
//! by the file. Values refer to each other by number: a pickle that holds itself does no harm, because nothing walks it.

mod machine;

use std::ops::Range;

/// A sparse matrix in compressed rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sparse {
    /// Numbers in a row, most of them 0.
    pub columns: usize,
    /// Where each row begins, and at last where the last one ends.
    pub offsets: Vec<usize>,
    /// The column of each number.
    pub indices: Vec<usize>,
    /// The numbers.
    pub values: Vec<f64>,
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    objects: Vec<Object>,
    root: Value,
}

/// What the stack holds.
#[derive(Debug, Clone)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A string, where it lies.
    Text(Range<usize>),
    Known(Known),
    /// By its number, so that what happens to it later is seen by all who hold it.
    Object(usize),
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Reconstruct,
    Array,
    Type,
    SparseRows,
    DefaultDict,
    List,
}

#[derive(Debug)]
enum Object {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// What a call would have made, and what it would have been given afterwards.
    Made {
        by: Known,
        arguments: Value,
        state: Option<Value>,
    },
}

type Result<T> = std::result::Result<T, String>;

impl<'a> Pickle<'a> {
    /// Reads a file's bytes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let (objects, root) = machine::run(bytes)?;
        Ok(Pickle { bytes, objects, root })
    }

    /// The pickle as an array of numbers: its shape and what it holds, row after row.
    pub(super) fn array(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        self.numbers(&self.root)
    }

    /// The pickle as a sparse matrix.
    pub(super) fn sparse(&self) -> Result<Sparse> {
        let (Known::SparseRows, _, state) = self.made(&self.root)? else {
            return Err("not a sparse matrix".to_owned());
        };
        let Object::Dict(fields) = self.object(state)? else { return Err("a matrix without fields".to_owned()) };
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| self.text(key) == Some(name.as_bytes()));
            found.map(|(_, value)| value).ok_or_else(|| format!("a matrix without {name}"))
        };
        let [rows, columns] = self.sizes(field("_shape")?)?[..] else {
            return Err("a matrix of not two axes".to_owned());
        };
        let whole = |name: &str| {
            let (_, numbers) = self.numbers(field(name)?)?;
            let sound = numbers.iter().all(|&x| x >= 0.0 && x <= f64::from(u32::MAX) && x.fract() == 0.0);
            if !sound {
                return Err(format!("{name} of a matrix that are no places"));
            }
            Ok(numbers.into_iter().map(|x| x as usize).collect::<Vec<_>>())
        };
        let (offsets, indices, (_, values)) = (whole("indptr")?, whole("indices")?, self.numbers(field("data")?)?);
        let ends = offsets.first() == Some(&0) && offsets.last() == Some(&indices.len());
        if !ends || offsets.len() - 1 != rows || !offsets.is_sorted() || indices.len() != values.len() {
            let (offsets, indices, values) = (offsets.len(), indices.len(), values.len());
            return Err(format!(
                "{offsets} offsets, {indices} columns and {values} numbers make no matrix of {rows} rows"
            ));
        }
        if let Some(bad) = indices.iter().find(|&&column| column >= columns) {
            return Err(format!("a number in column {bad} of {columns}"));
        }
        Ok(Sparse { columns, offsets, indices, values })
    }

    /// The pickle as a dictionary from numbers to lists of numbers.
    pub(super) fn lists(&self) -> Result<Vec<(i64, Vec<i64>)>> {
        let Object::Dict(entries) = self.object(&self.root)? else { return Err("not a dictionary".to_owned()) };
        let integer = |value: &Value| match value {
            Value::Int(number) => Ok(*number),
            _ => Err("a node that is no number".to_owned()),
        };
        // One list may be named again and again; together they may not be longer than the file.
        let mut left = self.bytes.len();
        let mut list = |value: &Value| {
            let Object::List(values) = self.object(value)? else {
                return Err("neighbours that are no list".to_owned());
            };
            left = left.checked_sub(values.len()).ok_or("lists that are longer than the file")?;
            values.iter().map(integer).collect::<Result<Vec<_>>>()
        };
        entries.iter().map(|(key, value)| Ok((integer(key)?, list(value)?))).collect()
    }

    fn object(&self, value: &Value) -> Result<&Object> {
        match value {
            Value::Object(at) => Ok(&self.objects[*at]),
            _ => Err("a plain value, expected an object".to_owned()),
        }
    }

    fn text(&self, value: &Value) -> Option<&[u8]> {
        match value {
            Value::Text(range) => Some(&self.bytes[range.clone()]),
            _ => None,
        }
    }

    fn tuple(&self, value: &Value) -> Result<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) => Ok(values),
            _ => Err("no tuple where one is expected".to_owned()),
        }
    }

    /// What a call was given, and afterwards.
    fn made(&self, value: &Value) -> Result<(Known, &[Value], &Value)> {
        match self.object(value)? {
            Object::Made { by, arguments, state: Some(state) } => Ok((*by, self.tuple(arguments)?, state)),
            _ => Err("no array or matrix where one is expected".to_owned()),
        }
    }

    fn sizes(&self, value: &Value) -> Result<Vec<usize>> {
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("an axis of {size}")),
            _ => Err("an axis that is no number".to_owned()),
        };
        self.tuple(value)?.iter().map(size).collect()
    }

    fn numbers(&self, value: &Value) -> Result<(Vec<usize>, Vec<f64>)> {
        let (Known::Reconstruct, arguments, state) = self.made(value)? else { return Err("not an array".to_owned()) };
        let (Some(Value::Known(Known::Array)), [_, shape, kind, Value::Bool(turned), data]) =
            (arguments.first(), self.tuple(state)?)
        else {
            return Err("an array that is none of numpy's".to_owned());
        };
        let shape = self.sizes(shape)?;
        if *turned && shape.len() > 1 {
            return Err("an array with its columns one after another, expected rows".to_owned());
        }
        let (Known::Type, named, state) = self.made(kind)? else { return Err("an array of no type".to_owned()) };
        let name = named.first().and_then(|name| self.text(name)).unwrap_or_default();
        if self.tuple(state)?.get(1).and_then(|order| self.text(order)) != Some(b"<") {
            return Err("an array with its highest bytes first, expected the lowest".to_owned());
        }
        let data = self.text(data).ok_or("an array without its numbers")?;
        let numbers: Vec<f64> = match name {
            b"i4" => data.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes).into()).collect(),
            b"i8" => data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect(),
            b"f4" => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect(),
            b"f8" => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            other => return Err(format!("an array of type {}, expected i4, i8, f4 or f8", other.escape_ascii())),
        };
        let bytes = if name.ends_with(b"8") { 8 } else { 4 };
        if shape.iter().try_fold(bytes, |size: usize, &n| size.checked_mul(n)) != Some(data.len()) {
            return Err(format!("{} bytes of numbers in an array of {shape:?}", data.len()));
        }
        Ok((shape, numbers))
    }
}
