//! The page's WebAssembly: what is seen. It computes nothing; the engine's program does, in a worker.

fn main() {
    console_error_panic_hook::set_once();
    yew::Renderer::<cliplet::app::page::Page>::new().render();
}
