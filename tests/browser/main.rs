//! The browser tests: the page from `trunk build --release`, the kernels and the goldens in Chromium, with WebGPU on the
//! CPU (SwiftShader), and the core of it in Firefox and WebKitGTK. Run by `cargo xtask test`, or alone, on the last build of the page, by `cargo xtask browser`.
//!
//! Invariant: no test waits for a time; each waits for what it needs to see.
//! Invariant: nothing leaves the machine, and a request that wants to is a failure.

#[path = "../awkward/mod.rs"]
mod awkward;
mod browsers;
mod embed;
mod engine;
mod everyday;
mod faults;
mod golden;
mod harness;
mod hosting;
mod hub;
mod input;
mod journeys;
mod js;
mod kernels;
mod keyboard;
mod languages;
mod own_model;
mod page;
mod picker;
mod pictures;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../pillow/mod.rs"]
mod pillow_set;
mod server;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../synthetic/mod.rs"]
mod synthetic;
#[allow(dead_code, reason = "each binary uses a part of it")]
#[path = "../hub/mod.rs"]
mod test_hub;
mod webdriver;
