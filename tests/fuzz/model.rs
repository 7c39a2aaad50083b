//! A model file, ours or clip.cpp's, from any bytes; what loads is built and asked.
#![no_main]

mod bounds;
mod towers;

use bounds::{twice, within};
use cliplet::models::load_gguf;
use cliplet::weights::gguf::{Header, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let is_clip_cpps = Header::parse(bytes, bytes.len() as u64).is_ok_and(|header| {
        header.metadata.get("general.architecture") == Some(&Value::String("clip".to_owned()))
    });
    // Its patches are turned, as f32, and whatever hostile shape they have.
    let allowed = if is_clip_cpps { towers::WIDENED * bytes.len() + (1 << 20) } else { twice(bytes.len()) };
    if let Ok(checkpoint) = within(allowed, "load", || load_gguf(bytes)) {
        towers::ask(checkpoint, bytes.len());
    }
});
