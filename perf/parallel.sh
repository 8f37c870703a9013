# packages: g++ libtbb-dev cargo rustc librust-rayon-dev
# Loops, reductions, scans and sorts beside oneTBB and Rayon (which has no scan); the stable and reproducible forms by their own names.
numbers=$(size 100000000 1000000) sorted=$(size 10000000 100000) words=$(size 1000000 10000)
for case in for:$numbers reduce:$numbers scan:$numbers sort:$sorted words:$words; do
    measure perf_parallel "${case%:*}" 0 "${case#*:}"
    for workers in 1 2; do
        for program in perf_parallel perf_parallel_tbb perf_parallel_rayon; do
            [ "$program-${case%:*}" != perf_parallel_rayon-scan ] || continue
            measure $program "${case%:*}" $workers "${case#*:}"
        done
    done
done
for workers in 1 2; do
    measure perf_parallel reduce-same $workers $numbers
    for program in perf_parallel perf_parallel_rayon; do
        measure $program sort-stable $workers $sorted
        measure $program words-stable $workers $words
    done
done
ratio for-1 yoke plain-C '<=' 1.05
for case in for reduce scan sort words; do
    for workers in 1 2; do
        ratio $case-$workers yoke oneTBB '<=' 1
        [ $case = scan ] || ratio $case-$workers yoke Rayon '<=' 1
    done
done
