// spawn_tokio WORKERS SHAPE [N]: the shapes of ../../spawn.c with Tokio: a JoinSet where the others have a group.
mod measure;
use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

const TASKS: usize = 1000;
const GRAINS: usize = 250; // for each of the groups
const GRAIN_NS: f64 = 200.0;

static RAN: AtomicUsize = AtomicUsize::new(0);

fn spin(turns: usize) {
    for i in 0..turns {
        unsafe { asm!("/* {0} */", in(reg) i) }; // nothing, but the compiler does not know
    }
}

async fn join(mut set: JoinSet<()>) {
    while let Some(joined) = set.join_next().await {
        joined.unwrap();
    }
}

async fn spawn_all(n: usize, body: impl Fn() + Copy + Send + 'static) {
    let mut set = JoinSet::new();
    for _ in 0..n {
        set.spawn(async move { body() });
    }
    join(set).await;
}

async fn run(shape: &str, groups: usize, body: impl Fn() + Copy + Send + Sync + 'static) {
    match shape {
        "batch" => {
            for _ in 0..groups {
                spawn_all(TASKS, body).await;
            }
        }
        "flat" => spawn_all(groups * TASKS, body).await,
        "nested" => {
            let mut set = JoinSet::new();
            for _ in 0..groups {
                set.spawn(spawn_all(TASKS, body));
            }
            join(set).await;
        }
        "grains" => spawn_all(groups * GRAINS, body).await,
        _ => std::process::exit(2),
    }
}

async fn app(shape: String, groups: usize) -> f64 {
    let mut begin = Instant::now();
    spin(10_000_000);
    let turns = (GRAIN_NS / (begin.elapsed().as_secs_f64() * 1e9) * 1e7) as usize;
    begin = Instant::now();
    if shape == "grains" {
        run(&shape, groups, move || spin(turns)).await;
    } else {
        run(&shape, groups, || ()).await;
    }
    let took = begin.elapsed().as_secs_f64();
    run(&shape, groups, || {
        RAN.fetch_add(1, Ordering::Relaxed);
    })
    .await;
    took
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let workers: usize = args[1].parse().unwrap();
    let grains = args[2] == "grains";
    let groups = measure::number(3, 1000);
    let tasks = groups * if grains { GRAINS } else { TASKS };
    let took = measure::run(workers, app(args[2].clone(), groups));
    assert_eq!(RAN.load(Ordering::Relaxed), tasks);
    let (value, unit) = if grains { (took * 1e3, "ms") } else { (took * 1e9 / tasks as f64, "ns/task") };
    measure::print_result(&format!("{}-{}", args[2], workers), value, unit);
}
