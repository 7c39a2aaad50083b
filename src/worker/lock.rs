//! Locks over all tabs of this origin (the Web Locks API).
//!
//! Invariant: a lock is held until it is dropped, or its worker ends.
//! Invariant: where the browser has no such locks (a page that is not secure), there is no storage to be locked either.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;

#[wasm_bindgen]
extern "C" {
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        granted: &JsValue,
    ) -> Result<Promise, JsValue>;
}

/// Who else may hold it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nobody.
    Alone,
    /// Others who only read.
    Readers,
}

pub struct Lock {
    release: Option<Function>,
}

impl Lock {
    /// Takes the lock if it is free.
    pub async fn try_take(name: &str, share: Share) -> Result<Option<Lock>, JsValue> {
        Lock::request(name, share, "ifAvailable", JsValue::TRUE).await
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// The wait was aborted.
    pub async fn take(name: &str, share: Share, cancel: Option<&AbortSignal>) -> Result<Lock, JsValue> {
        let cancel = cancel.map_or(JsValue::UNDEFINED, JsValue::from);
        let lock = Lock::request(name, share, "signal", cancel).await?;
        lock.ok_or_else(|| "the lock was not granted".into())
    }

    async fn request(
        name: &str,
        share: Share,
        option: &str,
        value: JsValue,
    ) -> Result<Option<Lock>, JsValue> {
        let navigator: JsValue = super::fetch::scope().navigator().into();
        let manager = Reflect::get(&navigator, &"locks".into())?;
        if manager.is_undefined() {
            return Ok(Some(Lock { release: None }));
        }
        let manager: LockManager = manager.unchecked_into();
        let options = Object::new();
        let mode = if share == Share::Readers { "shared" } else { "exclusive" };
        Reflect::set(&options, &"mode".into(), &mode.into())?;
        if !value.is_undefined() {
            Reflect::set(&options, &option.into(), &value)?;
        }
        // The lock is held as long as the promise of its callback is open: whoever closes that releases it.
        let mut outcome = Ok(());
        let granted = Promise::new(&mut |tell, refuse| {
            let callback = Closure::once_into_js(move |lock: JsValue| -> JsValue {
                if lock.is_null() {
                    let _ = tell.call1(&JsValue::NULL, &JsValue::NULL);
                    return JsValue::UNDEFINED;
                }
                let open = Promise::new(&mut |release, _| {
                    let _ = tell.call1(&JsValue::NULL, &release);
                });
                open.into()
            });
            outcome = manager.request(name, &options, &callback).map(|request| {
                let refused = Closure::once_into_js(move |error: JsValue| {
                    let _ = refuse.call1(&JsValue::NULL, &error);
                });
                let then: Result<Function, _> =
                    Reflect::get(&request, &"catch".into()).map(JsCast::unchecked_into);
                if let Ok(then) = then {
                    let _ = then.call1(&request, &refused);
                }
            });
        });
        outcome?;
        let release = JsFuture::from(granted).await?;
        Ok(release.dyn_into().ok().map(|release| Lock { release: Some(release) }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            let _ = release.call0(&JsValue::NULL); // a worker that ends releases it too
        }
    }
}
