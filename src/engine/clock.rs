//! Time, natively and in a browser, for the times that results carry.

/// Milliseconds since some fixed moment; only differences mean anything.
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
pub fn now_millis() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64() * 1e3
}

/// Milliseconds since the page or worker started: `performance.now()`, which both kinds of global scope have.
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub fn now_millis() -> f64 {
    use wasm_bindgen::prelude::wasm_bindgen;
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = performance)]
        fn now() -> f64;
    }
    now()
}
