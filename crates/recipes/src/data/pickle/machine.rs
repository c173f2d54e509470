//! The stack machine: what a pickle's operations do to values, objects and memory.

use std::collections::HashMap;
use std::ops::Range;

use super::{Known, Object, Result, Value};

impl Known {
    fn named(module: &[u8], name: &[u8]) -> Result<Self> {
        Ok(match (module, name) {
            (b"numpy.core.multiarray", b"_reconstruct") => Known::Reconstruct,
            (b"numpy", b"ndarray") => Known::Array,
            (b"numpy", b"dtype") => Known::Type,
            (b"scipy.sparse.csr", b"csr_matrix") => Known::SparseRows,
            (b"collections", b"defaultdict") => Known::DefaultDict,
            (b"__builtin__", b"list") => Known::List,
            _ => {
                let [module, name] = [module, name].map(|text| text.escape_ascii().to_string());
                return Err(format!("names {module}.{name}, expected nothing but arrays, sparse matrices and lists"));
            }
        })
    }
}

/// The machine while it reads.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Value>,
    /// How high the stack was at each open bracket.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<Range<usize>> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("ends at byte {}, {count} more expected", self.bytes.len()))?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    /// A whole number of `N` bytes, the lowest first.
    fn number<const N: usize>(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes[..N].copy_from_slice(&self.bytes[self.take(N)?]);
        Ok(u32::from_le_bytes(bytes))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a name without an end")?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn pop(&mut self) -> Result<Value> {
        let open = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= open {
            return Err(format!("takes from an empty stack before byte {}", self.at));
        }
        self.stack.pop().ok_or_else(|| "an empty stack".to_owned())
    }

    /// The last so many, in order.
    fn last(&mut self, count: usize) -> Result<Vec<Value>> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        values.reverse();
        Ok(values)
    }

    /// What came since the last bracket.
    fn marked(&mut self) -> Result<Vec<Value>> {
        let open = self.marks.pop().ok_or_else(|| format!("closes no bracket before byte {}", self.at))?;
        Ok(self.stack.split_off(open))
    }

    fn make(&mut self, object: Object) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    /// The object on top of the stack, which stays there.
    fn top(&mut self) -> Result<&mut Object> {
        match self.stack.last() {
            Some(Value::Object(at)) => Ok(&mut self.objects[*at]),
            _ => Err(format!("nothing to add to before byte {}", self.at)),
        }
    }

    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        let Object::List(list) = self.top()? else { return Err("adds to what is no list".to_owned()) };
        list.extend(values);
        Ok(())
    }

    fn set(&mut self, pairs: Vec<Value>) -> Result<()> {
        if !pairs.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let mut pairs = pairs.into_iter();
        let Object::Dict(entries) = self.top()? else { return Err("sets keys of what is no dictionary".to_owned()) };
        while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
            entries.push((key, value));
        }
        Ok(())
    }

    /// Notes a call.
    fn call(&mut self) -> Result<()> {
        let (arguments, by) = (self.pop()?, self.pop()?);
        let refused = || format!("calls what it may not before byte {}", self.at);
        let Value::Object(given) = arguments else { return Err(refused()) };
        let made = match (by, &self.objects[given]) {
            (Value::Known(Known::DefaultDict), Object::Tuple(given))
                if matches!(given[..], [Value::Known(Known::List)]) =>
            {
                Object::Dict(vec![])
            }
            (Value::Known(by @ (Known::Reconstruct | Known::Type | Known::SparseRows)), Object::Tuple(_)) => {
                Object::Made { by, arguments, state: None }
            }
            _ => return Err(refused()),
        };
        self.make(made);
        Ok(())
    }

    /// Runs one operation; whether it was the last.
    fn step(&mut self) -> Result<bool> {
        let place = self.at;
        let operation = self.bytes[self.take(1)?][0];
        match operation {
            b'.' => return Ok(true),
            0x80 => {
                let version = self.number::<1>()?;
                if version != 2 {
                    return Err(format!("a pickle of version {version}, expected 2"));
                }
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let number = self.number::<4>()? as i32;
                self.stack.push(Value::Int(number.into()));
            }
            b'U' | b'T' => {
                let length = if operation == b'U' { self.number::<1>()? } else { self.number::<4>()? };
                let text = self.take(length as usize)?;
                self.stack.push(Value::Text(text));
            }
            b'c' => {
                let known = Known::named(self.line()?, self.line()?)?;
                self.stack.push(Value::Known(known));
            }
            b'q' | b'r' => {
                let place = if operation == b'q' { self.number::<1>()? } else { self.number::<4>()? };
                let value = self.stack.last().ok_or("remembers what is not there")?.clone();
                self.memo.insert(place, value);
            }
            b'h' | b'j' => {
                let place = if operation == b'h' { self.number::<1>()? } else { self.number::<4>()? };
                let value = self.memo.get(&place).ok_or_else(|| format!("nothing was remembered as {place}"))?;
                self.stack.push(value.clone());
            }
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.make(Object::Tuple(vec![])),
            0x85..=0x87 => {
                let values = self.last(usize::from(operation - 0x84))?;
                self.make(Object::Tuple(values));
            }
            b't' => {
                let values = self.marked()?;
                self.make(Object::Tuple(values));
            }
            b']' => self.make(Object::List(vec![])),
            b'}' => self.make(Object::Dict(vec![])),
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.marked()?;
                self.append(values)?;
            }
            b's' => {
                let pair = self.last(2)?;
                self.set(pair)?;
            }
            b'u' => {
                let pairs = self.marked()?;
                self.set(pairs)?;
            }
            b'R' | 0x81 => self.call()?,
            b'b' => {
                let given = self.pop()?;
                match self.top()? {
                    Object::Made { state, .. } => *state = Some(given),
                    _ => return Err("gives a state to what has none".to_owned()),
                }
            }
            other => return Err(format!("operation {other:#04x} at byte {place}, which no pickle of arrays has")),
        }
        Ok(false)
    }

    fn integer<const N: usize>(&mut self) -> Result<()> {
        let number = self.number::<N>()?;
        self.stack.push(Value::Int(number.into()));
        Ok(())
    }
}

/// Runs a pickle to its end: the objects there are, and the value that it comes to.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Object>, Value)> {
    let (stack, marks, objects) = (vec![], vec![], vec![]);
    let mut machine = Machine { bytes, at: 0, objects, stack, marks, memo: HashMap::new() };
    while !machine.step()? {}
    let root = machine.pop()?;
    Ok((machine.objects, root))
}
