// forkjoin_rayon CASE WORKERS [N]: the cases of ../../forkjoin_work.h with Rayon: join, and iterators where there are more than two.
use rayon::prelude::*;
use std::ffi::CString;
use std::os::raw::{c_char, c_double, c_int, c_long};
use std::ptr;

#[repr(C)]
struct Work {
    kind: c_int,
    workers: c_int,
    n: c_long,
}

#[repr(C)]
#[derive(Default)]
struct Node {
    state: [u32; 5],
    depth: i32,
    children: i32,
}

const FIB: c_int = 0;
const QUEENS: c_int = 1;
const UTS: c_int = 2;
const INTEGRATE: c_int = 3;
const SKYNET: c_int = 4;
const MATMUL: c_int = 5;
const HEAT: c_int = 6;

const MATMUL_LEAF: c_long = 16;
const HEAT_STEPS: c_long = 100;
const COARSE_FORKS: c_int = 15;
const INTEGRATE_ERROR: f64 = 1e-6;

#[link(name = "perf_work", kind = "static")]
extern "C" {
    fn work_open(name: *const c_char, workers: c_int, n: c_long) -> *mut Work;
    fn work_begin(work: *mut Work) -> bool;
    fn work_end(work: *mut Work, result: c_double);
    fn work_print(work: *mut Work, subject: *const c_char);
    fn uts_root(work: *const Work, root: *mut Node);
    fn uts_child(work: *const Work, parent: *const Node, index: c_int, child: *mut Node);
    fn work_matrices(work: *const Work, c: *mut *mut f64, a: *mut *const f64, b: *mut *const f64);
    fn matmul_leaf(c: *mut f64, a: *const f64, b: *const f64, n: c_long);
    fn heat_row(work: *const Work, step: c_long, row: c_long);
    fn coarse_leaf(work: *mut Work, index: c_int);
}
#[link(name = "m")]
extern "C" {}

#[derive(Clone, Copy)]
struct Shared(*mut Work);
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    fn get(self) -> *mut Work {
        self.0
    }
    fn n(self) -> c_long {
        unsafe { (*self.0).n }
    }
}

fn fib(n: c_long) -> c_long {
    if n < 2 {
        return n;
    }
    let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
    a + b
}

struct Queen<'a> {
    above: Option<&'a Queen<'a>>,
    row: i32,
    column: i32,
}

fn safe(above: Option<&Queen>, row: i32, column: i32) -> bool {
    let mut next = above;
    while let Some(q) = next {
        if q.column == column || (q.column - column).abs() == row - q.row {
            return false;
        }
        next = q.above;
    }
    true
}

fn queens(above: Option<&Queen>, row: i32, n: i32) -> i64 {
    if row == n {
        return 1;
    }
    (0..n)
        .into_par_iter()
        .with_max_len(1)
        .map(|column| if safe(above, row, column) { queens(Some(&Queen { above, row, column }), row + 1, n) } else { 0 })
        .sum()
}

fn below(work: Shared, node: &Node) -> i64 {
    if node.children == 0 {
        return 0;
    }
    (0..node.children)
        .into_par_iter()
        .with_max_len(1)
        .map(|i| {
            let mut child = Node::default();
            unsafe { uts_child(work.get(), node, i, &mut child) };
            1 + below(work, &child)
        })
        .sum()
}

fn integrand(x: f64) -> f64 {
    (x * x + 1.0) * x
}

fn integrate(x1: f64, y1: f64, x2: f64, y2: f64) -> f64 {
    let half = (x2 - x1) / 2.0;
    let x0 = x1 + half;
    let y0 = integrand(x0);
    let both = (y1 + y0) / 2.0 * half + (y0 + y2) / 2.0 * half;
    if (both - (y1 + y2) * half).abs() < INTEGRATE_ERROR {
        return both;
    }
    let (left, right) = rayon::join(|| integrate(x1, y1, x0, y0), || integrate(x0, y0, x2, y2));
    left + right
}

fn skynet(number: i64, size: i64) -> i64 {
    if size == 1 {
        return number;
    }
    let part = size / 10;
    (0..10).into_par_iter().with_max_len(1).map(|i: i32| skynet(number + i64::from(i) * part, part)).sum()
}

#[derive(Clone, Copy)]
struct Block {
    c: *mut f64,
    a: *const f64,
    b: *const f64,
}
unsafe impl Send for Block {}
unsafe impl Sync for Block {}

impl Block {
    unsafe fn at(self, c: c_long, a: c_long, b: c_long) -> Block {
        Block { c: self.c.offset(c as isize), a: self.a.offset(a as isize), b: self.b.offset(b as isize) }
    }
}

unsafe fn matmul(block: Block, size: c_long, n: c_long) {
    if size == MATMUL_LEAF {
        return matmul_leaf(block.c, block.a, block.b, n);
    }
    let half = size / 2;
    let down = half * n;
    for block in [block, block.at(0, half, down)] {
        let (f, g, h, i) = (block, block.at(half, 0, half), block.at(down, down, 0), block.at(down + half, down, half));
        rayon::join(
            || rayon::join(|| matmul(f, half, n), || matmul(g, half, n)),
            || rayon::join(|| matmul(h, half, n), || matmul(i, half, n)),
        );
    }
}

fn heat(work: Shared) {
    for step in 0..HEAT_STEPS {
        (1..work.n()).into_par_iter().for_each(|row| unsafe { heat_row(work.get(), step, row) });
    }
}

fn coarse(work: Shared) {
    rayon::scope(|s| {
        for i in 0..COARSE_FORKS {
            s.spawn(move |_| unsafe { coarse_leaf(work.get(), i) });
        }
        unsafe { coarse_leaf(work.get(), COARSE_FORKS) };
    });
}

fn solve(work: Shared) -> f64 {
    let n = work.n();
    match unsafe { (*work.get()).kind } {
        FIB => fib(n) as f64,
        QUEENS => queens(None, 0, n as i32) as f64,
        UTS => {
            let mut root = Node::default();
            unsafe { uts_root(work.get(), &mut root) };
            (1 + below(work, &root)) as f64
        }
        INTEGRATE => integrate(0.0, integrand(0.0), n as f64, integrand(n as f64)),
        SKYNET => skynet(0, n as i64) as f64,
        MATMUL => unsafe {
            let mut block = Block { c: ptr::null_mut(), a: ptr::null(), b: ptr::null() };
            work_matrices(work.get(), &mut block.c, &mut block.a, &mut block.b);
            matmul(block, n, n);
            0.0
        },
        HEAT => {
            heat(work);
            0.0
        }
        _ => {
            coarse(work);
            0.0
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize| args.get(i).map_or(0, |a| a.parse().unwrap());
    let name = CString::new(args[1].as_str()).unwrap();
    let work = Shared(unsafe { work_open(name.as_ptr(), number(2) as c_int, number(3)) });
    // The trees are deep, and who waits for a join takes other work on the same stack.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(2) as usize).stack_size(256 << 20).build().unwrap();
    let subject = CString::new("Rayon").unwrap();
    pool.install(|| unsafe {
        while work_begin(work.get()) {
            work_end(work.get(), solve(work));
        }
        work_print(work.get(), subject.as_ptr());
    });
}
