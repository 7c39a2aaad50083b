//! A value that a callback brings, as a future.
//!
//! Invariant: [`Ready::set`] wakes whoever waits; a second value is dropped.

use super::lock;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Both ends: clones share the place of the value.
pub struct Ready<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Clone for Ready<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Ready<T> {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new((None, None))))
    }

    pub fn set(&self, value: T) {
        let mut state = lock(&self.0);
        state.0.get_or_insert(value);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    /// Waits for the value.
    pub async fn get(self) -> T {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            match state.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    state.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
