//! Native tests, a module per part.
mod allocation;
mod check;
mod cli;
mod convert;
mod engine;
mod folders;
mod host;
mod hosting;
mod hub;
mod image;
mod imports;
mod kernels;
mod page;
mod picker;
mod stream;
#[path = "../synthetic/mod.rs"]
mod synthetic;
mod tasks;
mod tensor;
mod text;
mod tidy;
mod weights;
