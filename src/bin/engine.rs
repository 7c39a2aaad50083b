//! The engine's WebAssembly: a program of its own, which the page's worker runs, and which needs no page.

fn main() {
    cliplet::worker::engine::start();
}
