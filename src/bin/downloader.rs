//! The downloader's WebAssembly: a program of its own, which a page fetches when somebody looks for another model.

fn main() {
    cliplet::worker::downloader::start();
}
