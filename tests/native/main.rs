//! Native tests, a module per part.
mod allocation;
#[path = "../awkward/mod.rs"]
mod awkward;
mod check;
mod cli;
mod convert;
mod engine;
mod folders;
mod hosting;
mod hub;
mod image;
mod imports;
mod input;
mod kernels;
mod languages;
mod live;
mod offer;
mod page;
mod picker;
mod pillow;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../pillow/mod.rs"]
mod pillow_set;
mod stream;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../synthetic/mod.rs"]
mod synthetic;
mod tasks;
mod tensor;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../hub/mod.rs"]
mod test_hub;
mod text;
mod tidy;
mod weights;
mod widget;
