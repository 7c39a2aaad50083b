//! Reads a `.pth` of PyTorch before 1.6: pickles (magic, version, system, tensors, storage names), then the storages.
//!
//! Invariant: nothing is executed: the few opcodes that a dictionary of tensors takes, every other one is an error.

use super::Result;
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::Weights;
use std::collections::BTreeMap;

/// What a pickle's stack holds; what no tensor needs is `Other`.
#[derive(Clone, Debug)]
enum Item {
    Mark,
    Int(usize),
    Text(String),
    Tuple(Vec<Item>),
    /// Name of a class or function.
    Global(String),
    Tensor {
        storage: String,
        offset: usize,
        shape: Vec<usize>,
        /// In values; a tensor that was transposed before it was saved is not stored row by row.
        strides: Vec<usize>,
    },
    Dict(Vec<(Item, Item)>),
    Other,
}

/// The f32 tensors of the file, by name; counters (whole numbers) are left out.
pub fn read(bytes: &[u8]) -> Result<Weights> {
    let mut reader = Reader { bytes, position: 0 };
    for _ in ["magic", "version", "system"] {
        reader.pickle()?;
    }
    let Item::Dict(entries) = reader.pickle()? else { return Err("the .pth holds no dictionary".into()) };
    let Item::Tuple(names) = reader.pickle()? else { return Err("the .pth lists no storages".into()) };
    let mut storages = BTreeMap::new();
    for name in names {
        let Item::Text(name) = name else { continue };
        let n_values = reader.number(8)?;
        // A storage of counters has 8 bytes a value; this file's come one value each.
        let is_counter = entries.iter().any(|(key, value)| {
            let is_it = matches!(value, Item::Tensor { storage, .. } if *storage == name);
            is_it && matches!(key, Item::Text(key) if key.ends_with("num_batches_tracked"))
        });
        storages.insert(name, reader.take(n_values * if is_counter { 8 } else { 4 })?);
    }
    let mut weights = Weights::default();
    for (name, tensor) in entries {
        if let (Item::Text(name), Item::Tensor { storage, offset, shape, strides }) = (name, tensor)
            && !name.ends_with("num_batches_tracked")
        {
            let stored = storages.get(&storage).and_then(|bytes| bytes.get(4 * offset..));
            let values = stored.and_then(|bytes| row_major(bytes, &shape, &strides));
            let values = values.ok_or_else(|| format!("the .pth lacks values of {name}"))?;
            weights.insert(name, Tensor::new(&shape, Format::F32, values)?);
        }
    }
    Ok(weights)
}

/// Bytes of a tensor's values in row-major order.
fn row_major(stored: &[u8], shape: &[usize], strides: &[usize]) -> Option<Vec<u8>> {
    let n_values: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(4 * n_values);
    for i in 0..n_values {
        let (mut rest, mut place) = (i, 0);
        for (side, stride) in shape.iter().zip(strides).rev() {
            place += rest % side * stride;
            rest /= side;
        }
        bytes.extend(stored.get(4 * place..4 * place + 4)?);
    }
    Some(bytes)
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n_bytes: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.position..).and_then(|rest| rest.get(..n_bytes));
        self.position += n_bytes;
        Ok(taken.ok_or("the .pth is cut short")?)
    }

    fn number(&mut self, n_bytes: usize) -> Result<usize> {
        Ok(self.take(n_bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    fn line(&mut self) -> Result<String> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or("the .pth is cut short")?;
        Ok(String::from_utf8_lossy(&self.take(end + 1)?[..end]).into_owned())
    }

    /// Runs one pickle to its end.
    fn pickle(&mut self) -> Result<Item> {
        let mut stack: Vec<Item> = Vec::new();
        let mut memo: BTreeMap<usize, Item> = BTreeMap::new();
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                0x80 => drop(self.take(1)?), // protocol
                b'.' => return stack.pop().ok_or_else(|| "an empty pickle".into()),
                b'(' => stack.push(Item::Mark),
                b'}' => stack.push(Item::Dict(Vec::new())),
                b']' | b')' => stack.push(Item::Tuple(Vec::new())),
                b'N' | 0x88 | 0x89 => stack.push(Item::Other),
                b'J' => stack.push(Item::Int(self.number(4)?)),
                b'K' => stack.push(Item::Int(self.number(1)?)),
                b'M' => stack.push(Item::Int(self.number(2)?)),
                0x8a => {
                    let n_bytes = self.number(1)?;
                    self.take(n_bytes)?;
                    stack.push(Item::Other);
                }
                b'X' => {
                    let n_bytes = self.number(4)?;
                    stack.push(Item::Text(String::from_utf8_lossy(self.take(n_bytes)?).into_owned()));
                }
                b'c' => {
                    let module = self.line()?;
                    stack.push(Item::Global(format!("{module}.{}", self.line()?)));
                }
                b'q' | b'r' => {
                    let key = self.number(if opcode == b'q' { 1 } else { 4 })?;
                    memo.insert(key, stack.last().cloned().unwrap_or(Item::Other));
                }
                b'h' | b'j' => {
                    let key = self.number(if opcode == b'h' { 1 } else { 4 })?;
                    stack.push(memo.get(&key).cloned().unwrap_or(Item::Other));
                }
                b't' => {
                    let items = since_mark(&mut stack);
                    stack.push(Item::Tuple(items));
                }
                0x85..=0x87 => {
                    let items = stack.split_off(stack.len().saturating_sub(usize::from(opcode - 0x84)));
                    stack.push(Item::Tuple(items));
                }
                b'Q' => {
                    // ("storage", class, name, device, length, …) stands for its name
                    let name = match stack.pop() {
                        Some(Item::Tuple(parts)) => parts.get(2).cloned(),
                        _ => None,
                    };
                    stack.push(name.unwrap_or(Item::Other));
                }
                b'R' => {
                    let (arguments, function) = (stack.pop(), stack.pop());
                    stack.push(call(function, arguments));
                }
                b'b' => drop(stack.pop()), // an object's attributes
                b's' | b'u' | b'e' => {
                    let items = if opcode == b's' {
                        stack.split_off(stack.len().saturating_sub(2))
                    } else {
                        since_mark(&mut stack)
                    };
                    match stack.last_mut() {
                        Some(Item::Dict(entries)) => {
                            let pair = |pair: &[Item; 2]| (pair[0].clone(), pair[1].clone());
                            entries.extend(items.as_chunks().0.iter().map(pair));
                        }
                        Some(Item::Tuple(list)) => list.extend(items),
                        _ => {}
                    }
                }
                _ => return Err(format!("the .pth uses opcode {opcode:#04x}, which is not read").into()),
            }
        }
    }
}

fn since_mark(stack: &mut Vec<Item>) -> Vec<Item> {
    let start = stack.iter().rposition(|item| matches!(item, Item::Mark)).unwrap_or(0);
    let items = stack.split_off((start + 1).min(stack.len()));
    stack.pop();
    items
}

fn call(function: Option<Item>, arguments: Option<Item>) -> Item {
    let (Some(Item::Global(name)), Some(Item::Tuple(arguments))) = (function, arguments) else {
        return Item::Other;
    };
    match (name.as_str(), &arguments[..]) {
        (
            "torch._utils._rebuild_tensor_v2",
            [Item::Text(storage), Item::Int(offset), Item::Tuple(shape), Item::Tuple(strides), ..],
        ) => {
            let number = |item: &Item| if let Item::Int(number) = item { *number } else { 0 };
            let numbers = |items: &[Item]| items.iter().map(number).collect();
            let (shape, strides) = (numbers(shape), numbers(strides));
            Item::Tensor { storage: storage.clone(), offset: *offset, shape, strides }
        }
        ("collections.OrderedDict", _) => Item::Dict(Vec::new()),
        _ => Item::Other,
    }
}
