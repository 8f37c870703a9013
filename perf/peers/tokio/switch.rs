// switch: a task that yields alone; two that yield to each other; two that hand a permit to each other. One thread, as in ../../switch.c.
mod measure;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

const TIMES: usize = 2_000_000;

static DONE: AtomicUsize = AtomicUsize::new(0);

async fn yield_all() {
    for _ in 0..TIMES {
        tokio::task::yield_now().await;
    }
    DONE.fetch_add(TIMES, Ordering::Relaxed);
}

async fn ping(mine: Arc<Semaphore>, other: Arc<Semaphore>) {
    for _ in 0..TIMES {
        mine.acquire().await.unwrap().forget();
        other.add_permits(1);
    }
    DONE.fetch_add(TIMES, Ordering::Relaxed);
}

async fn pair<F: Future<Output = ()> + Send + 'static>(first: F, second: F) -> f64 {
    DONE.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    let (first, second) = (tokio::spawn(first), tokio::spawn(second));
    first.await.unwrap();
    second.await.unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(DONE.load(Ordering::Relaxed), 2 * TIMES);
    took * 1e9 / (2 * TIMES) as f64
}

async fn app() {
    let begin = Instant::now();
    yield_all().await;
    measure::print_result("yield-alone", begin.elapsed().as_secs_f64() * 1e9 / TIMES as f64, "ns");
    measure::print_result("yield-pair", pair(yield_all(), yield_all()).await, "ns");
    let (a, b) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
    measure::print_result("hand-over", pair(ping(a.clone(), b.clone()), ping(b.clone(), a.clone())).await, "ns");
    assert_eq!((a.available_permits(), b.available_permits()), (1, 0));
}

fn main() {
    measure::run(1, app());
}
