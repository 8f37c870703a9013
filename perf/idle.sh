# What 1000 blocked tasks and 1000 open connections cost while nothing happens.
for workers in 1 2; do
    measure perf_idle $workers "$(size 5000 500)"
    goal idle-$workers yoke '<=' 0.1
done
