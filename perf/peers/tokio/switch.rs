// switch [TIMES]: a task that yields alone; two that yield to each other; two that hand a permit to each other. One thread, as in ../../switch.c.
mod measure;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

static DONE: AtomicUsize = AtomicUsize::new(0);

async fn yield_all(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
    DONE.fetch_add(times, Ordering::Relaxed);
}

async fn ping(times: usize, mine: Arc<Semaphore>, other: Arc<Semaphore>) {
    for _ in 0..times {
        mine.acquire().await.unwrap().forget();
        other.add_permits(1);
    }
    DONE.fetch_add(times, Ordering::Relaxed);
}

async fn pair<F: Future<Output = ()> + Send + 'static>(times: usize, first: F, second: F) -> f64 {
    DONE.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    let (first, second) = (tokio::spawn(first), tokio::spawn(second));
    first.await.unwrap();
    second.await.unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(DONE.load(Ordering::Relaxed), 2 * times);
    took * 1e9 / (2 * times) as f64
}

async fn app(times: usize) {
    let begin = Instant::now();
    yield_all(times).await;
    assert_eq!(DONE.load(Ordering::Relaxed), times);
    measure::print_result("yield-alone", begin.elapsed().as_secs_f64() * 1e9 / times as f64, "ns");
    measure::print_result("yield-pair", pair(times, yield_all(times), yield_all(times)).await, "ns");
    let (a, b) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
    let (there, back) = (ping(times, a.clone(), b.clone()), ping(times, b.clone(), a.clone()));
    measure::print_result("hand-over", pair(times, there, back).await, "ns");
    assert_eq!((a.available_permits(), b.available_permits()), (1, 0));
}

fn main() {
    measure::run(1, app(measure::number(1, 2_000_000)));
}
