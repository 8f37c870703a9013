# packages: g++ libtbb-dev
# The questions of fork/join: what a fork costs, and how it speeds up.
N=${YOKE_PERF_FIB:-38}
measure perf_serial "$N"
for workers in 1 2; do
    measure perf_fib typed $workers "$N"
    measure perf_fib plain $workers "$N"
    measure perf_tbb fib $workers 30
    measure perf_omp fib $workers 27
done
goal fib-1 yoke-typed '<=' 5.5
goal fib-1 yoke-plain '<=' 8
speedup fib-1 fib-2 yoke-typed 1.8
speedup fib-1 fib-2 yoke-plain 1.8
