# What it costs to spawn a task and to close its group; to start and end a runtime; to yield.
for workers in 1 2; do
    measure perf_spawn $workers
    measure perf_tbb spawn $workers
    measure perf_omp spawn $workers
    measure perf_run $workers
done
measure perf_yield
goal spawn-1 yoke '<=' 12
goal run-1 yoke '<=' 1
goal run-2 yoke '<=' 1
