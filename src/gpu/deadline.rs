//! Deadlines: a device that never answers is an error, and no wait without end.
//!
//! Invariant: in a browser every wait for the device has one. Natively there is none: drivers there answer from within the
//! call, and one that hangs holds the thread.

use super::GpuError;
use std::future::Future;

/// Until an adapter, a device and the first dispatch have answered, each; a browser's own process for the GPU may still be
/// starting, which takes a second or two.
const START_MILLIS: u32 = 10_000;
/// What any run may take.
const RUN_MILLIS: u32 = 20_000;
/// And what it may take besides for every weight that it reads. A slow GPU of 2015 reads a hundred million in a second, for
/// each of a few hundred rows; an adapter in software is ten times slower.
const MILLIS_A_MILLION_WEIGHTS: u32 = 100;

/// The longest wait for a run over so many weights.
pub fn run_millis(n_weights: usize, is_software: bool) -> u32 {
    let factor = if is_software { 10 } else { 1 };
    let n_millions = u32::try_from(n_weights / 1_000_000).unwrap_or(u32::MAX);
    RUN_MILLIS.saturating_add(n_millions.saturating_mul(MILLIS_A_MILLION_WEIGHTS * factor))
}

/// What the device answers to its first questions.
pub async fn at_start<T>(what: &'static str, answer: impl Future<Output = T>) -> Result<T, GpuError> {
    within(START_MILLIS, what, answer).await
}

/// What comes within so many milliseconds.
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub async fn within<T>(
    millis: u32,
    what: &'static str,
    answer: impl Future<Output = T>,
) -> Result<T, GpuError> {
    use std::pin::pin;
    use std::task::Poll;
    let (mut answer, mut end) = (pin!(answer), pin!(gloo::timers::future::TimeoutFuture::new(millis)));
    std::future::poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => {
            end.as_mut().poll(context).map(|()| Err(GpuError::Silent { what, seconds: millis / 1000 }))
        }
    })
    .await
}

/// What comes, whenever it does.
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
pub async fn within<T>(
    _millis: u32,
    _what: &'static str,
    answer: impl Future<Output = T>,
) -> Result<T, GpuError> {
    Ok(answer.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_models_and_adapters_in_software_may_take_longer() {
        assert_eq!(run_millis(0, true), RUN_MILLIS);
        assert_eq!(run_millis(150_000_000, false), 35_000);
        assert_eq!(run_millis(150_000_000, true), 170_000);
        assert!(run_millis(usize::MAX, true) > run_millis(1_000_000_000, true), "and no overflow");
    }
}
