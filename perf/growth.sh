# packages: g++ libtbb-dev golang-go
# What a task costs, spawned and closed, as numbers grow: tasks in a group, groups within groups, workers.
total=$(size 10000000 100000)
tasks=() depths=() workers=()
for n in 1000 10000 100000 1000000 10000000; do
    ((n <= total)) || continue
    measure perf_growth tasks $n "$total"
    for peer in plain tbb omp go; do measure perf_growth_$peer tasks $n "$total"; done
    tasks+=(tasks-$n)
done
for n in 10 100 1000 10000; do
    measure perf_growth depth $n "$((total / 5))"
    for peer in plain tbb omp go; do measure perf_growth_$peer depth $n "$((total / 5))"; done
    depths+=(depth-$n)
done
for n in 1 2 4 8 16 32 64; do
    measure perf_growth workers $n "$((total / 20))"
    for peer in tbb omp go; do measure perf_growth_$peer workers $n "$((total / 20))"; done
    workers+=(workers-$n)
done
growth yoke '<=' 1.3 "${tasks[@]}"
growth yoke '<=' 1.3 "${depths[@]}"
growth yoke '<=' 1.3 workers-1 workers-2
growth yoke '<=' 1.5 "${workers[@]:1}"
