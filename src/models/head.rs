//! The small net that maps a tower's features into the space that both sides share.
//!
//! Invariant: `y = S x + c + W1 gelu(W0 x + b0) + b1`, and what the tower gives beside `x`; the skip path and the perceptron are each optional, and with
//! neither the features pass unchanged.

use super::ModelError;
use super::config::HeadConfig;
use super::layers::{Linear, Loader};
use crate::graph::{Activation, Graph, Slot};

#[derive(Clone, Debug)]
pub struct Head {
    normalize_input: bool,
    skip: Option<Linear>,
    perceptron: Option<(Linear, Linear)>,
}

impl Head {
    /// Loads `NAME.skip`, `NAME.0` and `NAME.1`.
    pub fn load(
        loader: &mut Loader,
        name: &str,
        config: &HeadConfig,
        n_features: usize,
    ) -> Result<Self, ModelError> {
        let layer = |loader: &mut Loader, part: &str| -> Result<Option<Linear>, ModelError> {
            let name = format!("{name}.{part}");
            match loader.has(&format!("{name}.weight")) {
                true => {
                    let n_out = loader.shape(&format!("{name}.weight"))?.first().copied().unwrap_or(0);
                    loader.linear(&name, n_out, n_features).map(Some)
                }
                false => Ok(None),
            }
        };
        let skip = layer(loader, "skip")?;
        let perceptron = match layer(loader, "0")? {
            Some(first) => {
                let n_out = loader.shape(&format!("{name}.1.weight"))?.first().copied().unwrap_or(0);
                let second = loader.linear(&format!("{name}.1"), n_out, first.n_out)?;
                Some((first, second))
            }
            None => None,
        };
        if let (Some(skip), Some((_, second))) = (&skip, &perceptron)
            && skip.n_out != second.n_out
        {
            let (given, expected) = (vec![second.n_out, second.n_in], vec![skip.n_out, second.n_in]);
            return Err(ModelError::Shape { name: format!("{name}.1.weight"), given, expected });
        }
        Ok(Self { normalize_input: config.normalize_input, skip, perceptron })
    }

    /// Width of the result for features of width `n_features`.
    pub fn n_out(&self, n_features: usize) -> usize {
        let last = self.skip.as_ref().or(self.perceptron.as_ref().map(|(_, second)| second));
        last.map_or(n_features, |layer| layer.n_out)
    }

    /// Features `[n, n_features]` to `[n, n_out]`; `beside`, of that shape, is added by the layers that there are.
    pub fn emit(&self, graph: &mut Graph, x: Slot, n_features: usize, beside: Option<Slot>) -> Slot {
        let x = if self.normalize_input { graph.normalize(x, n_features) } else { x };
        let skip = match &self.skip {
            Some(skip) => Some(graph.linear(x, skip, Activation::Identity, beside)),
            None => beside,
        };
        match &self.perceptron {
            Some((first, second)) => {
                let hidden = graph.linear(x, first, Activation::Gelu, None);
                graph.linear(hidden, second, Activation::Identity, skip)
            }
            None => skip.unwrap_or(x),
        }
    }

    /// What goes into the first layer's units, before their activation.
    pub fn emit_units(&self, graph: &mut Graph, x: Slot, n_features: usize) -> Option<Slot> {
        let (first, _) = self.perceptron.as_ref()?;
        let x = if self.normalize_input { graph.normalize(x, n_features) } else { x };
        Some(graph.linear(x, first, Activation::Identity, None))
    }

    /// How many units the first layer has.
    pub fn n_units(&self) -> usize {
        self.perceptron.as_ref().map_or(0, |(first, _)| first.n_out)
    }
}
