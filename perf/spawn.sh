# packages: g++ libtbb-dev
# What it costs to spawn a task and to close its group, in several shapes.
for workers in 1 2; do
    measure perf_spawn $workers batch
    measure perf_tbb spawn $workers
    measure perf_omp spawn $workers
    for shape in flat nested siblings grains; do
        measure perf_spawn $workers $shape
    done
done
goal batch-1 yoke '<=' 12
goal flat-1 yoke '<=' 15
goal flat-2 yoke '<=' 15
goal flat-memory-1 yoke '<=' 8
goal flat-memory-2 yoke '<=' 8
speedup grains-1 grains-2 yoke 1.8
