//! The engine's WebAssembly, inside its worker.

fn main() {
    cliplet::worker::host::start();
}
