//! The weights that a graph refers to.
//!
//! Invariant: a [`Param`] handed out by [`ParamSet::push`] stays valid: parameters are never removed.
//! Invariant: weights of [`Op::Linear`](crate::graph::Op::Linear) may be in any format; every other one is f32.

use super::Param;
use crate::tensor::Tensor;
use std::sync::Arc;

/// A model's weights, in the order of their [`Param`]. A clone shares them: an engine keeps what its backend works with.
#[derive(Clone, Debug, Default)]
pub struct ParamSet {
    pub tensors: Vec<Arc<Tensor>>,
}

impl ParamSet {
    pub fn push(&mut self, tensor: Tensor) -> Param {
        self.tensors.push(Arc::new(tensor));
        Param(self.tensors.len() - 1)
    }
}
