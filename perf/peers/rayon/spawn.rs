// spawn_rayon WORKERS SHAPE [N]: the shapes of ../../spawn.c with Rayon: a scope where the others have a group.
use rayon::Scope;
use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const TASKS: usize = 1000;
const GRAINS: usize = 250; // for each of the groups
const GRAIN_NS: f64 = 200.0;

fn spin(turns: usize) {
    for i in 0..turns {
        unsafe { asm!("/* {0} */", in(reg) i) }; // nothing, but the compiler does not know
    }
}

fn spawn_all<'a>(scope: &Scope<'a>, body: impl Fn() + Copy + Send + 'a, n: usize) {
    for _ in 0..n {
        scope.spawn(move |_| body());
    }
}

fn run<'a>(shape: &str, groups: usize, body: impl Fn() + Copy + Send + Sync + 'a) {
    match shape {
        "batch" => {
            for _ in 0..groups {
                rayon::scope(|s| spawn_all(s, body, TASKS));
            }
        }
        "flat" => rayon::scope(|s| spawn_all(s, body, groups * TASKS)),
        "nested" => rayon::scope(|s| {
            for _ in 0..groups {
                s.spawn(move |_| rayon::scope(|own| spawn_all(own, body, TASKS)));
            }
        }),
        "grains" => rayon::scope(|s| spawn_all(s, body, groups * GRAINS)),
        _ => std::process::exit(2),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (workers, shape) = (args[1].parse::<usize>().unwrap(), args[2].as_str());
    let grains = shape == "grains";
    let groups = args.get(3).map_or(1000, |n| n.parse::<usize>().unwrap());
    let tasks = groups * if grains { GRAINS } else { TASKS };
    let mut begin = Instant::now();
    spin(10_000_000);
    let turns = (GRAIN_NS / (begin.elapsed().as_secs_f64() * 1e9) * 1e7) as usize;
    let ran = AtomicUsize::new(0);
    let took = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap().install(|| {
        begin = Instant::now();
        if grains {
            run(shape, groups, || spin(turns));
        } else {
            run(shape, groups, || ());
        }
        let took = begin.elapsed().as_secs_f64();
        run(shape, groups, || {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        took
    });
    assert_eq!(ran.into_inner(), tasks);
    let (value, unit) = if grains { (took * 1e3, "ms") } else { (took * 1e9 / tasks as f64, "ns/task") };
    println!("{}-{}\tRayon\t{:.4}\t{}", shape, workers, value, unit);
}
