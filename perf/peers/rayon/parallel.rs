// parallel_rayon CASE WORKERS N: the cases of ../../parallel.c with Rayon, but the scan, which it does not have.
use rayon::prelude::*;
use std::time::Instant;

const ROUNDS: usize = 3;

fn hash(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846ca68b);
    x ^ (x >> 16)
}

fn numbers(n: usize) -> Vec<u32> {
    (0..n).map(|i| hash(i as u32 + 1)).collect()
}

fn words(n: usize, letters: &mut Vec<u8>) -> Vec<(usize, usize)> {
    (0..n)
        .map(|i| {
            let length = 8 + hash(i as u32) as usize % 17;
            let begin = letters.len();
            letters.extend((0..length).map(|k| b'a' + (hash((i * 32 + k) as u32) % 26) as u8));
            letters.push(0);
            (begin, begin + length)
        })
        .collect()
}

fn square(x: &u32) -> u64 {
    (*x as u64).wrapping_mul(*x as u64)
}

fn best_of<T, S, R, C>(mut state: S, mut prepare: impl FnMut(&mut S), run: R, check: C) -> f64
where
    R: Fn(&mut S) -> T,
    C: Fn(&S, T) -> bool,
{
    let mut best = f64::MAX;
    for round in 0..=ROUNDS {
        prepare(&mut state);
        let begin = Instant::now();
        let result = run(&mut state);
        let took = begin.elapsed().as_secs_f64() * 1e3;
        if round == 0 {
            assert!(check(&state, result), "a wrong result");
        } else if took < best {
            best = took;
        }
    }
    best
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (what, workers, n) = (args[1].as_str(), args[2].parse::<usize>().unwrap(), args[3].parse::<usize>().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(workers).build_global().unwrap();
    let best = match what {
        "for" => best_of(
            numbers(n),
            |_| (),
            |v| v.par_iter_mut().enumerate().for_each(|(i, x)| *x = hash(i as u32)),
            |v, _| v.iter().enumerate().all(|(i, x)| *x == hash(i as u32)),
        ),
        "reduce" => best_of(
            numbers(n),
            |_| (),
            |v| v.par_iter().map(square).reduce(|| 0, u64::wrapping_add),
            |v, sum| sum == v.iter().map(square).fold(0, u64::wrapping_add),
        ),
        "sort" | "sort-stable" => {
            let backup = numbers(n);
            best_of(
                backup.clone(),
                |v| v.copy_from_slice(&backup),
                |v| if what == "sort" { v.par_sort_unstable() } else { v.par_sort() },
                |v, _| v.windows(2).all(|w| w[0] <= w[1]),
            )
        }
        "words" | "words-stable" => {
            let mut letters = Vec::new();
            let places = words(n, &mut letters);
            let backup: Vec<&[u8]> = places.iter().map(|p| &letters[p.0..p.1]).collect();
            best_of(
                backup.clone(),
                |v| v.copy_from_slice(&backup),
                |v| if what == "words" { v.par_sort_unstable() } else { v.par_sort() },
                |v, _| v.windows(2).all(|w| w[0] <= w[1]),
            )
        }
        _ => return,
    };
    let (case, kind) = what.split_at(what.find('-').unwrap_or(what.len()));
    println!("{}-{}\tRayon{}\t{:.4}\tms", case, workers, kind, best);
}
