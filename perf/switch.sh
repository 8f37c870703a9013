# packages: g++ libboost-fiber-dev cargo rustc librust-tokio-dev golang-go
# From task to task on one worker: yields, and a permit handed to and fro.
for program in perf_switch perf_switch_fiber perf_switch_tokio perf_switch_go; do
    measure $program "$(size 2000000 20000)"
done
goal yield-pair yoke '<=' 12
