//! A model's tensors, as they come, to those of a GGUF of this project: imported, kept where they are small enough, else
//! quantized, and placed.
//!
//! Invariant: the same tensors in the same order give the same bytes, wherever they come from and go to.
//! Invariant: what is as small already as the wanted format stays as it is: another rounding would only lose.

use crate::engine::Side;
use crate::models::{Config, Importer, ModelError, Quantization};
use crate::tensor::{Format, Tensor};
use crate::weights::gguf::Table;
use crate::weights::{Weights, WeightsError};

/// Formats are compared by what this many values take: a whole block of any.
const BLOCK_LEN: usize = 32;

/// Places converted tensors one behind the other.
#[derive(Clone, Debug)]
pub struct Converter {
    quantization: Quantization,
    table: Table,
    /// Tensors of the other side are left out: of two models, one gives pictures and the other texts.
    pub only: Option<Side>,
}

/// A tensor as the file is to hold it.
pub struct Stored<'a> {
    pub name: &'a str,
    /// Bytes from the start of the tensor data.
    pub at: u64,
    pub tensor: &'a Tensor,
    /// The tensor as it came, where it was rounded.
    pub exact: Option<&'a Tensor>,
}

impl Converter {
    /// `table` holds what an earlier visit made; [`Table::default`] to begin with.
    pub fn new(quantization: Quantization, table: Table) -> Converter {
        Converter { quantization, table, only: None }
    }

    /// What was made so far.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Takes a tensor of the source; `write` gets each tensor that can be made now.
    ///
    /// # Errors
    /// Sources that do not fit each other, values that the format cannot hold, and `write`'s.
    pub fn push<E: From<ModelError>>(
        &mut self,
        importer: &mut Importer,
        name: &str,
        tensor: Tensor,
        write: &mut dyn FnMut(Stored) -> Result<(), E>,
    ) -> Result<(), E> {
        importer.push(name, tensor, &mut |name, tensor| {
            if self.only.is_some_and(|side| side != Side::of(name)) {
                return Ok(());
            }
            let rounded = self.rounded(name, &tensor)?;
            let (tensor, exact) =
                rounded.as_ref().map_or((&tensor, None), |rounded| (rounded, Some(&tensor)));
            let place = self.table.push(name, tensor).map_err(ModelError::from)?;
            write(Stored { name, at: place.start, tensor, exact })
        })
    }

    /// The tensor in the format that the file is to hold it in; `None` where it stays as it is.
    fn rounded(&self, name: &str, tensor: &Tensor) -> Result<Option<Tensor>, ModelError> {
        let format = self.quantization.format_of(name, tensor);
        if tensor.format.bytes_for(BLOCK_LEN) <= format.bytes_for(BLOCK_LEN) {
            return Ok(None);
        }
        let bad = |source| WeightsError::BadTensor { name: name.to_owned(), source };
        let rounded = tensor.requantize(format).map_err(bad)?;
        rounded.check_finite().map_err(bad)?;
        Ok(Some(rounded))
    }

    /// About how many bytes `n_bytes` of source become, judged by the outlines of its tensors; where nothing is known of
    /// those, as if they were f32, of which least remains.
    pub fn estimated_bytes(&self, outlines: Option<&Weights>, n_bytes: u64) -> u64 {
        // The matrices of every architecture; what stays larger is small.
        let matrix = |tensor: &Tensor| self.quantization.format_of("vision.blocks.0.up.weight", tensor);
        let outline =
            |shape: &[usize]| Tensor { shape: shape.to_vec(), format: Format::F32, bytes: Vec::new() };
        let unknown = outline(&[BLOCK_LEN, BLOCK_LEN]);
        let known = outlines
            .into_iter()
            .flat_map(|outlines| outlines.names().filter_map(|name| outlines.tensor(name).ok()));
        let (mut before, mut after) = (0, 0);
        let mut count = |tensor: &Tensor| {
            let (own, wanted) = (tensor.format.bytes_for(BLOCK_LEN), matrix(tensor).bytes_for(BLOCK_LEN));
            before += tensor.n_values() * own;
            after += tensor.n_values() * own.min(wanted);
        };
        match outlines.is_some_and(|outlines| outlines.names().next().is_some()) {
            true => known.for_each(count),
            false => count(&unknown),
        }
        (n_bytes as f64 * (after as f64 / before as f64)) as u64
    }
}

/// The configuration of what was converted: the pictures' of the first source, the texts' of the second, where there is
/// one. `name` is what the model is called if it does not say itself, `source` where it came from.
pub fn joined(image: Config, text: Option<Config>, name: &str, source: Option<String>) -> Config {
    let mut config = image;
    if let Some(text) = text {
        (config.text, config.text_head, config.tokenizer) = (text.text, text.text_head, text.tokenizer);
    }
    if config.about.name.is_empty() {
        config.about.name = name.to_owned();
    }
    if config.about.sources.is_empty() {
        config.about.sources.extend(source);
    }
    config
}

/// The configuration with a tokenizer, where it has none.
pub fn with_tokenizer(mut config: Config, json: Option<String>) -> Config {
    if let Some(json) = json.filter(|_| config.tokenizer.is_none()) {
        config.set_tokenizer(json);
    }
    config
}
