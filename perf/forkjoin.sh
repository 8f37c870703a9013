# packages: g++ libtbb-dev clang libomp-dev cargo rustc librust-rayon-dev
# Fork and join, every piece a fork and nothing held back: what a fork costs, how work of many shapes speeds up, whether coarse forks are found.
# Where a peer takes too long, it does a smaller one of the same; what counts is then the time by the number of forks.
declare -A smaller=(
    [fib-tbb]=30 [fib-omp]=27 [fib-libomp]=22 [fib-rayon]=34
    [integrate-omp]=1000 [integrate-libomp]=100 [skynet-omp]=100000 [skynet-libomp]=10000
)
declare -A trial=([fib]=20 [queens]=8 [integrate]=100 [skynet]=1000 [matmul]=128 [heat]=128) # the trees have one size, and so has coarse
for case in fib queens uts-t1 uts-t3 integrate skynet matmul heat; do
    n=$(size 0 "${trial[$case]:-0}") # 0: the usual size
    measure perf_forkjoin_serial $case 1 "$n"
    for workers in 1 2; do
        measure perf_forkjoin $case $workers "$n"
        [ $case != fib ] || measure perf_forkjoin fib-plain $workers "$n"
        for peer in tbb omp libomp rayon; do
            [ $case-$peer-$workers != uts-t1-libomp-2 ] && [ $case-$peer-$workers != uts-t3-libomp-2 ] || continue # it takes a minute
            measure perf_forkjoin_$peer $case $workers "$(size "${smaller[$case-$peer]:-0}" "$n")"
        done
    done
done
for case in coarse coarse-busy; do
    for program in perf_forkjoin perf_forkjoin_tbb perf_forkjoin_omp perf_forkjoin_libomp perf_forkjoin_rayon; do
        measure $program $case 4
    done
done
goal fib-1 yoke-typed '<=' 5.5
goal fib-1 yoke-plain '<=' 8
for form in typed plain; do
    speedup fib-1 fib-2 yoke-$form 1.8
done
for workers in 1 2; do
    ratio fib-$workers yoke-typed best '<=' 0.35
    ratio fib-$workers yoke-plain best '<=' 0.6
done
for case in queens uts-t1 uts-t3; do
    ratio $case-1 yoke plain-C '<=' 1.08
    speedup $case-1 $case-2 yoke 1.9
done
for case in integrate skynet; do
    for workers in 1 2; do
        ratio $case-$workers yoke Rayon '<=' 0.6
    done
done
ratio matmul-2 yoke best '<=' 1
ratio heat-2 yoke best '<=' 1
goal coarse-4 yoke '<=' 200
