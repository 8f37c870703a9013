# packages: cargo rustc librust-tokio-dev golang-go
# 100,000 blocked tasks, cancelled and joined.
measure perf_cancel
measure perf_blocked_tokio cancel
measure perf_blocked_go cancel
goal cancel yoke '<=' 15
