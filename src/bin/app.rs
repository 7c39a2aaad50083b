//! The page's WebAssembly, and that of the engine's worker: one program, fetched and compiled once. Where it runs says what it
//! does.

use cliplet::{app, worker};

fn main() {
    if worker::is_engine() {
        worker::engine::start();
    } else {
        console_error_panic_hook::set_once();
        yew::Renderer::<app::page::Page>::new().render();
    }
}
