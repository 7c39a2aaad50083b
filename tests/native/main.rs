//! Native tests, a module per part.
mod allocation;
mod cli;
mod convert;
mod engine;
mod hosting;
mod image;
mod imports;
mod kernels;
mod page;
mod stream;
#[path = "../synthetic/mod.rs"]
mod synthetic;
mod tasks;
mod tensor;
mod text;
mod tidy;
mod weights;
