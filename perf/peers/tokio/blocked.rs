// blocked memory|cancel [TASKS]: ../../memory.c and ../../cancel.c with Tokio: a JoinSet of tasks that wait or sleep, on two threads.
mod measure;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

static BLOCKED: AtomicUsize = AtomicUsize::new(0);

// KiB in use, page tables included.
fn in_use() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |key| status.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim().trim_end_matches(" kB").parse::<f64>().unwrap();
    of("VmRSS:") + of("VmPTE:")
}

async fn wait() {
    BLOCKED.fetch_add(1, Ordering::Relaxed);
    pending().await
}

// How long it takes to cancel tasks that wait; KiB that they take.
async fn cancel_all(tasks: usize) -> (f64, f64) {
    let before = in_use();
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        set.spawn(wait());
    }
    while BLOCKED.load(Ordering::Relaxed) < tasks {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(20)).await;
    let kb = in_use() - before;
    let mut cancelled = 0;
    let begin = Instant::now();
    set.abort_all();
    while let Some(joined) = set.join_next().await {
        cancelled += usize::from(joined.unwrap_err().is_cancelled());
    }
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(cancelled, tasks);
    (took * 1e3, kb)
}

async fn sleep_all(tasks: usize) -> f64 {
    let (mut set, mut slept) = (JoinSet::new(), 0);
    let begin = Instant::now();
    for _ in 0..tasks {
        set.spawn(sleep(Duration::from_secs(1)));
    }
    while let Some(joined) = set.join_next().await {
        joined.unwrap();
        slept += 1;
    }
    let took = begin.elapsed().as_secs_f64();
    assert!(slept == tasks && took >= 1.0);
    took * 1e3
}

async fn memory(tasks: usize) {
    let (_, kb) = cancel_all(tasks).await;
    measure::print_result("blocked-memory", kb / tasks as f64, "KiB/task");
    measure::print_result("blocked-time", sleep_all(tasks).await, "ms");
}

async fn cancel(tasks: usize) {
    measure::print_result("cancel", cancel_all(tasks).await.0, "ms");
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "cancel" {
        measure::run(2, cancel(measure::number(2, 100_000)));
    } else {
        measure::run(2, memory(measure::number(2, 1_000_000)));
    }
}
