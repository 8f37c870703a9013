# packages: cargo rustc librust-tokio-dev golang-go
# 100,000 blocked tasks, cancelled and joined.
tasks=$(size 100000 1000)
measure perf_cancel $tasks
measure perf_blocked_tokio cancel $tasks
measure perf_blocked_go cancel $tasks
goal cancel yoke '<=' 15
