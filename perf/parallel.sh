# packages: g++ libtbb-dev cargo rustc librust-rayon-dev
# Loops, reductions, scans and sorts beside oneTBB and Rayon (which has no scan); the stable and reproducible forms by their own names.
for name in perf_parallel_tbb perf_parallel_rayon; do
    [ -x "$bin/$name" ] || [ "$round" != 1 ] || echo "missing: $name" >&2
done
for case in for:100000000 reduce:100000000 scan:100000000 sort:10000000 words:1000000; do
    measure perf_parallel "${case%:*}" 0 "${case#*:}"
    for workers in 1 2; do
        for program in perf_parallel perf_parallel_tbb perf_parallel_rayon; do
            measure $program "${case%:*}" $workers "${case#*:}"
        done
    done
done
for workers in 1 2; do
    measure perf_parallel reduce-same $workers 100000000
    for program in perf_parallel perf_parallel_rayon; do
        measure $program sort-stable $workers 10000000
        measure $program words-stable $workers 1000000
    done
done
ratio for-1 yoke plain-C '<=' 1.05
for case in for reduce scan sort words; do
    for workers in 1 2; do
        ratio $case-$workers yoke oneTBB '<=' 1
        [ $case = scan ] || ratio $case-$workers yoke Rayon '<=' 1
    done
done
