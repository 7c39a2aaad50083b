//! The WebAssembly of both workers; a worker's name says which it is.

fn main() {
    match cliplet::worker::is_downloader() {
        true => cliplet::worker::downloader::start(),
        false => cliplet::worker::host::start(),
    }
}
