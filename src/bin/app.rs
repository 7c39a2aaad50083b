//! The page's WebAssembly, and that of its workers: one program, fetched and compiled once. Where it runs says what it does.

use cliplet::{app, worker};

fn main() {
    match worker::role() {
        None => {
            console_error_panic_hook::set_once();
            yew::Renderer::<app::page::Page>::new().render();
        }
        Some(worker::Role::Engine) => worker::engine::start(),
        Some(worker::Role::Downloader) => worker::downloader::start(),
    }
}
