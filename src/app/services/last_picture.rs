//! The picture on the stage, kept in the browser's storage so that leaving the page and coming back does not lose it.
//!
//! Invariant: one picture a tab, gone when it leaves the stage; what a closed tab left behind is deleted after a day.
//! Invariant: a browser without such storage loses nothing else.

use super::super::share::{decode, encode};
use super::*;
use web_sys::{Cache, Headers, ResponseInit};

const CACHE: &str = "cliplet.pictures";
const TAB_KEY: &str = "cliplet.tab";
/// In the session's storage, which can be read at once: that the tab has a picture that will come back.
const KEPT_KEY: &str = "cliplet.kept";
const NAME_HEADER: &str = "x-name";
const TIME_HEADER: &str = "x-kept-millis";
const MAX_BYTES: f64 = 32.0 * 1024.0 * 1024.0;
const MAX_MILLIS: u64 = 24 * 3600 * 1000;

pub async fn keep(picture: &Blob, name: &str) {
    if picture.size() > MAX_BYTES {
        return forget().await;
    }
    let kept = async {
        let headers = Headers::new()?;
        headers.set(NAME_HEADER, &encode(name))?;
        headers.set(TIME_HEADER, &(js_sys::Date::now() as u64).to_string())?;
        headers.set("content-type", &picture.type_())?;
        let init = ResponseInit::new();
        init.set_headers(&headers);
        let response = Response::new_with_opt_blob_and_init(Some(picture), &init)?;
        // Said first: who leaves before the picture is kept waits for it in vain only until that is known.
        session()?.set_item(KEPT_KEY, "1")?;
        JsFuture::from(cache().await?.put_with_str(&address()?, &response)).await
    };
    drop::<Result<JsValue, JsValue>>(kept.await);
}

pub async fn forget() {
    let forgotten = async {
        session()?.remove_item(KEPT_KEY)?;
        JsFuture::from(cache().await?.delete_with_str(&address()?)).await
    };
    drop::<Result<JsValue, JsValue>>(forgotten.await);
}

/// Whether a picture will come back.
pub fn is_kept() -> bool {
    session().is_ok_and(|session| session.get_item(KEPT_KEY).is_ok_and(|kept| kept.is_some()))
}

fn session() -> Result<web_sys::Storage, JsValue> {
    Ok(gloo::utils::window().session_storage()?.ok_or("no storage")?)
}

/// The picture that this tab showed last, and its name.
pub async fn read() -> Option<(Blob, String)> {
    delete_old().await;
    // What was removed a moment before the tab was left may still be there.
    if !is_kept() {
        return None;
    }
    let found = async { JsFuture::from(cache().await?.match_with_str(&address()?)).await };
    let response = found.await.ok()?.dyn_into::<Response>().ok()?;
    let name = response.headers().get(NAME_HEADER).ok()??;
    let blob = JsFuture::from(response.blob().ok()?).await.ok()?.dyn_into().ok()?;
    Some((blob, decode(&name)))
}

async fn delete_old() {
    let deleted = async {
        let cache = cache().await?;
        let requests: Array = JsFuture::from(cache.keys()).await?.dyn_into()?;
        for request in requests.iter().filter_map(|request| request.dyn_into::<web_sys::Request>().ok()) {
            let response: Response = JsFuture::from(cache.match_with_request(&request)).await?.dyn_into()?;
            let kept =
                response.headers().get(TIME_HEADER)?.and_then(|kept| kept.parse::<u64>().ok()).unwrap_or(0);
            if (js_sys::Date::now() as u64).saturating_sub(kept) > MAX_MILLIS {
                JsFuture::from(cache.delete_with_request(&request)).await?;
            }
        }
        Ok::<_, JsValue>(())
    };
    drop(deleted.await);
}

async fn cache() -> Result<Cache, JsValue> {
    cache_named(CACHE).await
}

/// An address that no file of the page has; it differs from tab to tab.
fn address() -> Result<String, JsValue> {
    let session = session()?;
    let tab = match session.get_item(TAB_KEY)? {
        Some(tab) => tab,
        None => {
            let tab = format!("{:x}", (js_sys::Math::random() * 9e15) as u64);
            session.set_item(TAB_KEY, &tab)?;
            tab
        }
    };
    Ok(format!("{}?last-picture={tab}", bare_address().ok_or("no address")?))
}
