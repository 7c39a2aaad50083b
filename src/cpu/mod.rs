//! The backend without a GPU: runs the same graphs as `gpu`; natively with a library's SIMD matrix product, in a browser with
//! its own, which leaves weights as they are stored.
//!
//! Invariant: it gives the same answers as the GPU backend, to f32 rounding: f32 throughout, weights widened once or by each
//! operation that uses them.
//! Invariant: natively it spreads rows over threads; in a browser it runs on the one thread of its worker.
//! Invariant: no graph makes it panic: every length is checked before an operation reads, and named in the error.

mod lanes;
mod math;
mod ops;
mod panel;

use crate::graph::ParamSet;
use crate::graph::{Graph, Param, Slot};
use crate::tensor::Tensor;
use panel::Matrix;
use std::borrow::Cow;
use std::sync::Arc;

/// Why a graph cannot run here. Each of these is a mistake in the graph or in the weights, never in a picture.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CpuError {
    #[error("the graph takes {expected} inputs, {given} were given")]
    Inputs { expected: usize, given: usize },
    #[error("{op}: {what} holds {given} values, needs {expected}")]
    Length { op: &'static str, what: &'static str, given: usize, expected: usize },
    #[error("{op}: reads slot {slot}, which nothing has written")]
    Unwritten { op: &'static str, slot: usize },
    #[error("{op}: there is no parameter {param} (the model has {count})")]
    Param { op: &'static str, param: usize, count: usize },
    #[error("{op}: {what}")]
    Shape { op: &'static str, what: &'static str },
}

const IS_BROWSER: bool = cfg!(target_arch = "wasm32");

/// Weights of up to so many values, vectors and small kernels among them, are widened once in a browser, too.
const MAX_SMALL: usize = 1 << 16;

/// A model's weights.
pub struct CpuModel {
    params: Vec<Weight>,
}

enum Weight {
    Wide(Vec<f32>),
    /// Widened whenever it is used.
    Stored(Arc<Tensor>),
}

impl Weight {
    fn len(&self) -> usize {
        match self {
            Weight::Wide(values) => values.len(),
            Weight::Stored(tensor) => tensor.n_values(),
        }
    }
}

impl CpuModel {
    /// Natively every weight is widened to f32 once: four bytes a value, whatever the format in the file. In a browser large
    /// ones are not: [`panel`] widens what it uses, and a tab's memory is dear.
    pub fn new(params: &ParamSet) -> Self {
        let weight = |tensor: &Arc<Tensor>| match IS_BROWSER && tensor.n_values() > MAX_SMALL {
            true => Weight::Stored(Arc::clone(tensor)),
            false => Weight::Wide(tensor.to_f32()),
        };
        Self { params: params.tensors.iter().map(weight).collect() }
    }

    /// Takes no memory but for the weight of the operation that runs; the same answers, later.
    pub fn lean(params: &ParamSet) -> Self {
        Self { params: params.tensors.iter().cloned().map(Weight::Stored).collect() }
    }

    /// Bytes of the weights that an operation reads.
    pub fn n_bytes(&self) -> usize {
        self.params.iter().map(|param| 4 * param.len()).sum()
    }

    /// Runs `graph` on `inputs` (in the order of [`Graph::inputs`], each as long as its slot) and returns the outputs in
    /// the order of [`Graph::outputs`]. Activations are freed after their last reader.
    pub fn run(&self, graph: &Graph, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, CpuError> {
        if inputs.len() != graph.inputs.len() {
            return Err(CpuError::Inputs { expected: graph.inputs.len(), given: inputs.len() });
        }
        let mut memory =
            Memory { slots: vec![Vec::new(); graph.slots.len()], params: &self.params, op: "input" };
        for (slot, values) in graph.inputs.iter().zip(inputs) {
            memory.expect("the caller's values", values.len(), graph.len(*slot))?;
            memory.slots[slot.0] = values.to_vec();
        }
        let last_readers = last_readers(graph);
        for (op_idx, op) in graph.ops.iter().enumerate() {
            memory.op = op.name();
            let target = op.writes();
            let mut y = std::mem::take(&mut memory.slots[target.0]);
            y.resize(graph.len(target), 0.0);
            ops::run(op, &memory, &mut y)?;
            memory.slots[target.0] = y;
            for slot in op.reads() {
                if last_readers[slot.0] == op_idx {
                    memory.slots[slot.0] = Vec::new();
                }
            }
        }
        memory.op = "output";
        graph
            .outputs
            .iter()
            .map(|output| memory.read(output.slot, graph.len(output.slot)).map(<[f32]>::to_vec))
            .collect()
    }
}

/// The index of the last operation that reads each slot; `usize::MAX` for what must stay until the end.
fn last_readers(graph: &Graph) -> Vec<usize> {
    let mut readers = vec![usize::MAX; graph.slots.len()];
    for (op_idx, op) in graph.ops.iter().enumerate() {
        for slot in op.reads() {
            readers[slot.0] = op_idx;
        }
    }
    for output in &graph.outputs {
        readers[output.slot.0] = usize::MAX;
    }
    readers
}

/// What an operation may read.
struct Memory<'a> {
    slots: Vec<Vec<f32>>,
    params: &'a [Weight],
    /// The running operation, for messages.
    op: &'static str,
}

impl Memory<'_> {
    fn expect(&self, what: &'static str, given: usize, expected: usize) -> Result<(), CpuError> {
        if given == expected { Ok(()) } else { Err(CpuError::Length { op: self.op, what, given, expected }) }
    }

    /// The first `len` values of a slot.
    fn read(&self, slot: Slot, len: usize) -> Result<&[f32], CpuError> {
        let values = &self.slots[slot.0];
        if values.is_empty() && len > 0 {
            return Err(CpuError::Unwritten { op: self.op, slot: slot.0 });
        }
        let given = values.len();
        values.get(..len).ok_or(CpuError::Length { op: self.op, what: "a slot", given, expected: len })
    }

    /// A parameter that must hold exactly `len` values.
    fn param(&self, param: Param, what: &'static str, len: usize) -> Result<Cow<'_, [f32]>, CpuError> {
        let weight = self.params.get(param.0).ok_or(CpuError::Param {
            op: self.op,
            param: param.0,
            count: self.params.len(),
        })?;
        self.expect(what, weight.len(), len)?;
        Ok(match weight {
            Weight::Wide(values) => Cow::Borrowed(values),
            Weight::Stored(tensor) => Cow::Owned(tensor.to_f32()),
        })
    }

    /// A parameter that is a factor of a product.
    fn matrix(&self, param: Param, len: usize) -> Result<Matrix<'_>, CpuError> {
        match self.params.get(param.0) {
            Some(Weight::Stored(tensor)) if IS_BROWSER => {
                self.expect("the weight", tensor.n_values(), len)?;
                Ok(Matrix::Stored(tensor))
            }
            _ => self.param(param, "the weight", len).map(Matrix::Wide),
        }
    }

    fn maybe_param(
        &self,
        param: Option<Param>,
        what: &'static str,
        len: usize,
    ) -> Result<Option<Cow<'_, [f32]>>, CpuError> {
        param.map(|param| self.param(param, what, len)).transpose()
    }
}

/// How many threads rows are spread over.
fn n_threads() -> usize {
    if cfg!(target_arch = "wasm32") {
        return 1; // a worker without shared memory has no threads to spawn
    }
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
