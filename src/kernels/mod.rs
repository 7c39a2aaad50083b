//! The WGSL kernels as the host sees them: what each binds, and how an operation becomes a launch.
//!
//! Invariant: bindings are dense from 0 in group 0: params, then the [`Kernel::bindings`] in order, the output
//! last. A test reads every shader with naga and compares.
//! Invariant: a plan holds no wgpu object and knows no model; it fails with both numbers when an operand is
//! too short for what the shader would read.
//! Invariant: shapes go into params, tuning and formats into overrides.

/// The text of shader files, in order, without what only people read, which is a third of it.
macro_rules! wgsl {
    ($($file:literal),+) => {{
        const SOURCE: &str = concat!($(include_str!(concat!("../../shaders/", $file, ".wgsl"))),+);
        const LEN: usize = $crate::kernels::strip::<0>(SOURCE).1;
        const TEXT: [u8; LEN] = $crate::kernels::strip(SOURCE).0;
        match str::from_utf8(&TEXT) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        }
    }};
}

mod attention;
mod avg_pool;
mod conv2d;
mod copy_rows;
mod depthwise;
mod gather_rows;
mod layer_norm;
mod linear;
mod linear_ragged;
mod mean_rows;
mod normalize;
pub mod pack;
mod patch_embed;
mod similarity;

use crate::graph::{Activation, Op, Param, Slot};
use pack::WordFormat;

/// What a shader may do with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A storage binding: its name in the shader and its access.
pub type Binding = (&'static str, Access);

/// Values of a shader's `override` declarations.
pub type Overrides = Vec<(&'static str, f64)>;

/// One shader.
#[derive(Debug)]
pub struct Kernel {
    /// Stem of its files, entry point and label.
    pub name: &'static str,
    pub source: &'static str,
    /// Fields of its uniform `Params`, four bytes each.
    pub params: &'static [&'static str],
    /// Storage bindings from 1 on.
    pub bindings: &'static [Binding],
    /// Every set of overrides that a plan can ask for.
    pub variants: fn() -> Vec<Overrides>,
}

/// The first bytes of a shader's lines without comments, indentation and blank lines, and how many there are.
const fn strip<const N: usize>(source: &str) -> ([u8; N], usize) {
    let source = source.as_bytes();
    let mut text = [0; N];
    let (mut at, mut len, mut last) = (0, 0, b'\n');
    while at < source.len() {
        if source[at] == b'/' && source[at + 1] == b'/' {
            while source[at] != b'\n' {
                at += 1;
            }
        }
        if last != b'\n' || !source[at].is_ascii_whitespace() {
            last = source[at];
            if len < N {
                text[len] = last;
            }
            len += 1;
        }
        at += 1;
    }
    (text, len)
}

/// All kernels, for tests and for warming up.
pub fn all() -> [&'static Kernel; 13] {
    [
        &attention::KERNEL,
        &avg_pool::KERNEL,
        &conv2d::KERNEL,
        &copy_rows::KERNEL,
        &depthwise::KERNEL,
        &gather_rows::KERNEL,
        &layer_norm::KERNEL,
        &linear::KERNEL,
        &linear_ragged::KERNEL,
        &mean_rows::KERNEL,
        &normalize::KERNEL,
        &patch_embed::KERNEL,
        &similarity::KERNEL,
    ]
}

/// What stands behind a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Slot(Slot),
    /// A parameter's values as f32, padded with zeros to a multiple of four.
    Values(Param),
    /// A matrix as [`pack`] lays it out, `[n_out, n_in]`.
    Words {
        param: Param,
        format: WordFormat,
        n_out: usize,
        n_in: usize,
    },
    /// The scales that belong to the words of the same parameter.
    Scales(Param),
    /// Constants of this launch.
    Table(Vec<u32>),
    /// An optional operand that is not there.
    Nothing,
}

/// One dispatch, ready to be given its buffers.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: &'static Kernel,
    pub overrides: Overrides,
    /// The uniform `Params`, named as in [`Kernel::params`]; floats by their bits.
    pub params: Vec<(&'static str, u32)>,
    /// One for each of [`Kernel::bindings`].
    pub operands: Vec<Operand>,
    pub workgroups: [u32; 3],
}

/// What a plan knows of the model and the adapter.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Length of each slot in values.
    pub slots: &'a [usize],
    /// Number of values and word format of each parameter.
    pub params: &'a [(usize, WordFormat)],
    /// The adapter computes on the CPU.
    pub is_software: bool,
}

/// An operation that cannot run as it stands: a fault of the graph's maker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{kernel}: {operand} holds {actual} values, needs {needed}")]
    TooShort { kernel: &'static str, operand: &'static str, actual: usize, needed: usize },
    #[error("{kernel}: {what} is {actual}, needs {needed}")]
    Unsupported { kernel: &'static str, what: &'static str, actual: usize, needed: &'static str },
    #[error("{kernel}: given an operation of another kind, {op}")]
    WrongOp { kernel: &'static str, op: &'static str },
    #[error("{kernel}: refers to {what} {index}, but there are {len}")]
    NoSuch { kernel: &'static str, what: &'static str, index: usize, len: usize },
}

/// Workgroups that WebGPU allows in each dimension by default.
pub const MAX_WORKGROUPS: u32 = 65_535;

impl Context<'_> {
    /// `slot` as an operand of at least `needed` values.
    fn slot(
        &self,
        kernel: &'static Kernel,
        operand: &'static str,
        slot: Slot,
        needed: usize,
    ) -> Result<Operand, PlanError> {
        let len = self.slots.len();
        let no_such = PlanError::NoSuch { kernel: kernel.name, what: "slot", index: slot.0, len };
        let actual = *self.slots.get(slot.0).ok_or(no_such)?;
        self.check(kernel, operand, actual, needed)?;
        Ok(Operand::Slot(slot))
    }

    fn param(&self, kernel: &'static Kernel, param: Param) -> Result<(usize, WordFormat), PlanError> {
        let len = self.params.len();
        let no_such = PlanError::NoSuch { kernel: kernel.name, what: "parameter", index: param.0, len };
        self.params.get(param.0).copied().ok_or(no_such)
    }

    /// `param` as f32 values, at least `needed` of them.
    fn values(
        &self,
        kernel: &'static Kernel,
        operand: &'static str,
        param: Param,
        needed: usize,
    ) -> Result<Operand, PlanError> {
        let (actual, _) = self.param(kernel, param)?;
        self.check(kernel, operand, actual, needed)?;
        Ok(Operand::Values(param))
    }

    /// `param` as f32 values, or nothing.
    fn optional(
        &self,
        kernel: &'static Kernel,
        operand: &'static str,
        param: Option<Param>,
        needed: usize,
    ) -> Result<Operand, PlanError> {
        param.map_or(Ok(Operand::Nothing), |param| self.values(kernel, operand, param, needed))
    }

    /// `param` as a packed matrix: in its own format, or in the one given.
    fn matrix(
        &self,
        kernel: &'static Kernel,
        param: Param,
        format: Option<WordFormat>,
        [n_out, n_in]: [usize; 2],
    ) -> Result<Operand, PlanError> {
        let (actual, own) = self.param(kernel, param)?;
        self.check(kernel, "weight", actual, n_out * n_in)?;
        Ok(Operand::Words { param, format: format.unwrap_or(own), n_out, n_in })
    }

    fn check(
        &self,
        kernel: &'static Kernel,
        operand: &'static str,
        actual: usize,
        needed: usize,
    ) -> Result<(), PlanError> {
        if actual < needed {
            return Err(PlanError::TooShort { kernel: kernel.name, operand, actual, needed });
        }
        Ok(())
    }
}

impl Kernel {
    fn wrong(&self, op: &Op) -> PlanError {
        PlanError::WrongOp { kernel: self.name, op: op.name() }
    }
}

/// Workgroups in two dimensions for `n_items` at `per_group` items each; a shader unfolds them by
/// `x + y * num_workgroups.x`.
fn folded(n_items: usize, per_group: usize) -> [u32; 3] {
    let n_groups = (n_items.div_ceil(per_group) as u32).max(1);
    let y = n_groups.div_ceil(MAX_WORKGROUPS);
    [n_groups.div_ceil(y), y, 1]
}

/// The number by which shared/activation.wgsl knows an activation.
fn activation_code(activation: Activation) -> f64 {
    match activation {
        Activation::Identity => 0.0,
        Activation::QuickGelu => 1.0,
        Activation::Gelu => 2.0,
        Activation::GeluTanh => 3.0,
        Activation::Relu => 4.0,
        Activation::Relu6 => 5.0,
    }
}

/// Overrides of a kernel with an epilogue: one set for each activation.
fn activation_variants() -> Vec<Overrides> {
    (0..6).map(|code| vec![("ACTIVATION", f64::from(code))]).collect()
}

fn no_variants() -> Vec<Overrides> {
    vec![Vec::new()]
}

/// The launch that computes `op`.
pub fn plan(op: &Op, context: &Context) -> Result<Launch, PlanError> {
    match op {
        Op::Linear { n_in, n_out, .. } if n_in % 4 == 0 && n_out % 4 == 0 => linear::plan(op, context),
        Op::Linear { .. } => linear_ragged::plan(op, context),
        Op::Attention { .. } => attention::plan(op, context),
        Op::LayerNorm { .. } => layer_norm::plan(op, context),
        Op::PatchEmbed { .. } => patch_embed::plan(op, context),
        Op::Conv2d { .. } => conv2d::plan(op, context),
        Op::Depthwise { .. } => depthwise::plan(op, context),
        Op::AvgPool { .. } => avg_pool::plan(op, context),
        Op::MeanRows { .. } => mean_rows::plan(op, context),
        Op::GatherRows { .. } => gather_rows::plan(op, context),
        Op::CopyRows { .. } => copy_rows::plan(op, context),
        Op::Normalize { .. } => normalize::plan(op, context),
        Op::Similarity { .. } => similarity::plan(op, context),
    }
}
