//! The page's WebAssembly.

fn main() {
    console_error_panic_hook::set_once();
    yew::Renderer::<cliplet::app::page::Page>::new().render();
}
