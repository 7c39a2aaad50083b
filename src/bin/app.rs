//! The page's WebAssembly: what is seen. It computes nothing; the engine's program does, in a worker.

fn main() {
    console_error_panic_hook::set_once();
    cliplet::app::page::start();
}
