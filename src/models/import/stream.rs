//! Weights to canonical ones in whatever order they come.
//!
//! Invariant: a tensor is held only until everything that is made from it is made; of a file in the usual order that is a
//! layer's few.
//! Invariant: what the header's names cannot satisfy is refused before the first tensor.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::rules::TensorRule;
use super::{Origin, plan};
use crate::models::{Config, ModelError};
use crate::tensor::{Format, Tensor};
use crate::weights::{TensorSource, Weights, WeightsError};

/// What becomes of each canonical tensor.
pub type Sink<'a, E> = &'a mut dyn FnMut(&str, Tensor) -> Result<(), E>;

/// Takes the tensors of a model one by one and hands out canonical ones.
pub struct Importer<'a> {
    origin: Origin<'a>,
    config: Config,
    names: BTreeSet<String>,
    /// What is still to be made.
    rules: Vec<TensorRule>,
    /// Transform many of those each source is still needed for.
    n_uses: BTreeMap<String, usize>,
    held: Weights,
    /// Single numbers: the temperature is part of the configuration.
    scalars: BTreeMap<String, f32>,
}

impl<'a> Importer<'a> {
    /// Starts on a model whose files hold tensors of these names.
    ///
    /// # Errors
    /// An architecture that is not in [`SUPPORTED`](super::SUPPORTED), a configuration without a needed field, a weight
    /// that no file holds.
    pub fn new(
        origin: Origin<'a>,
        all_names: impl IntoIterator<Item = String>,
    ) -> Result<Importer<'a>, ModelError> {
        // Not collected, which would sort them: 5 kB of the page's program.
        let mut names = BTreeSet::new();
        names.extend(all_names);
        let known = Known { names: &names, scalars: &BTreeMap::new() };
        let (config, mut rules) = plan(origin, &known)?;
        let mut missing = None;
        rules.retain(|rule| {
            let absent = rule.from.iter().find(|name| !names.contains(*name));
            missing = missing.take().or(absent.filter(|_| !rule.is_optional).cloned());
            absent.is_none()
        });
        if let Some(name) = missing {
            return Err(WeightsError::MissingTensor { name, n_tensors: names.len() }.into());
        }
        let mut n_uses = BTreeMap::new();
        let sources = rules.iter().flat_map(|rule| &rule.from);
        sources.for_each(|name| *n_uses.entry(name.clone()).or_default() += 1);
        let (held, scalars) = (Weights::default(), BTreeMap::new());
        Ok(Importer { origin, config, names, rules, n_uses, held, scalars })
    }

    /// The configuration as far as it is known before the weights.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a tensor; `sink` gets what can be made now.
    ///
    /// # Errors
    /// Sources that do not fit each other, and `sink`'s.
    pub fn push<E: From<ModelError>>(&mut self, name: &str, tensor: Tensor, sink: Sink<E>) -> Result<(), E> {
        if tensor.n_values() == 1 {
            self.scalars.extend(tensor.to_f32().first().map(|value| (name.to_owned(), *value)));
        }
        if !self.n_uses.contains_key(name) {
            return Ok(()); // nothing is made from it
        }
        self.held.insert(name, tensor);
        let is_ready = |rule: &TensorRule| {
            rule.from.iter().any(|from| from == name) && rule.from.iter().all(|from| self.held.contains(from))
        };
        let (ready, rest) = std::mem::take(&mut self.rules).into_iter().partition(is_ready);
        self.rules = rest;
        ready.iter().try_for_each(|rule| sink(&rule.to, self.cook(rule)?))
    }

    fn cook(&mut self, rule: &TensorRule) -> Result<Tensor, ModelError> {
        // Taken where this is the last use: nothing large is copied.
        let mut last = Vec::new();
        for name in &rule.from {
            last.push(match self.n_uses.get_mut(name) {
                Some(n_uses) if *n_uses > 1 => {
                    *n_uses -= 1;
                    None
                }
                _ => {
                    self.n_uses.remove(name);
                    Some(self.held.take(name)?)
                }
            });
        }
        let source = |(name, last): (&String, Option<Tensor>)| match last {
            Some(tensor) => Ok(Cow::Owned(tensor)),
            None => self.held.tensor(name).map(Cow::Borrowed),
        };
        let sources = rule.from.iter().zip(last).map(source).collect::<Result<Vec<_>, _>>()?;
        rule.cook(sources)
    }

    /// Whether no tensor is held: everything that came has been made into something.
    pub fn is_idle(&self) -> bool {
        self.held.names().next().is_none()
    }

    /// The single numbers that came, for [`Importer::resume`].
    pub fn scalars(&self) -> &BTreeMap<String, f32> {
        &self.scalars
    }

    /// Goes on where another importer of the same files was idle, which had made what `is_made` says.
    pub fn resume(&mut self, scalars: BTreeMap<String, f32>, is_made: impl Fn(&str) -> bool) {
        self.scalars = scalars;
        let (made, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.rules).into_iter().partition(|rule| is_made(&rule.to));
        self.rules = rest;
        for name in made.iter().flat_map(|rule| &rule.from) {
            match self.n_uses.get_mut(name) {
                Some(n_uses) if *n_uses > 1 => *n_uses -= 1,
                _ => drop(self.n_uses.remove(name)),
            }
        }
    }

    /// The configuration, once everything came.
    ///
    /// # Errors
    /// A weight that did not come.
    pub fn finish(self) -> Result<Config, ModelError> {
        if let Some(rule) = self.rules.first() {
            let absent = rule.from.iter().find(|name| !self.held.contains(name));
            let name = absent.unwrap_or(&rule.to).clone();
            return Err(WeightsError::MissingTensor { name, n_tensors: self.names.len() }.into());
        }
        if self.scalars.is_empty() {
            return Ok(self.config);
        }
        Ok(plan(self.origin, &Known { names: &self.names, scalars: &self.scalars })?.0)
    }
}

/// What a plan may ask before the weights are there.
struct Known<'a> {
    names: &'a BTreeSet<String>,
    scalars: &'a BTreeMap<String, f32>,
}

impl TensorSource for Known<'_> {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn get(&self, name: &str) -> Result<Cow<'_, Tensor>, WeightsError> {
        let missing = || WeightsError::MissingTensor { name: name.to_owned(), n_tensors: self.scalars.len() };
        let value = *self.scalars.get(name).ok_or_else(missing)?;
        let tensor = Tensor::from_f32(&[], &[value], Format::F32);
        tensor.map(Cow::Owned).map_err(|source| WeightsError::BadTensor { name: name.to_owned(), source })
    }
}
