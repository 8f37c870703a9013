# packages: g++ libtbb-dev cargo rustc librust-rayon-dev librust-tokio-dev golang-go
# What it costs to spawn a task and to close its group, in several shapes.
groups=$(size 1000 10)
for workers in 1 2; do
    for shape in batch flat nested grains; do
        for program in perf_spawn perf_spawn_tbb perf_spawn_omp perf_spawn_rayon perf_spawn_tokio perf_spawn_go; do
            measure $program $workers $shape $groups
        done
    done
    measure perf_spawn $workers siblings $groups
done
goal batch-1 yoke '<=' 6
goal batch-2 yoke '<=' 15
goal flat-1 yoke '<=' 15
goal flat-2 yoke '<=' 15
goal flat-memory-1 yoke '<=' 8
goal flat-memory-2 yoke '<=' 8
speedup grains-1 grains-2 yoke 1.8
growth yoke '<=' 1.5 flat-1 nested-1 siblings-1
growth yoke '<=' 1.5 flat-2 nested-2 siblings-2
