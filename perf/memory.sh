# packages: cargo rustc librust-tokio-dev golang-go
# A million tasks that sleep: what they take, and how long.
measure perf_memory
measure perf_memory bare
measure perf_blocked_tokio memory
measure perf_blocked_go memory
goal blocked-memory yoke '<=' 4.4
ratio blocked-time yoke bare '<=' 1.1
