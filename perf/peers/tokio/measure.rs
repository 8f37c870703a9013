use std::future::Future;
use tokio::runtime::Builder;

/// Runs a future as a task: on a runtime of several threads, or, for one, on this thread's.
pub fn run<T: Send + 'static>(workers: usize, app: impl Future<Output = T> + Send + 'static) -> T {
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(app).await.unwrap() })
}

pub fn number(i: usize, otherwise: usize) -> usize {
    std::env::args().nth(i).map_or(otherwise, |n| n.parse().unwrap())
}

pub fn print_result(what: &str, value: f64, unit: &str) {
    println!("{}\tTokio\t{:.4}\t{}", what, value, unit);
}
