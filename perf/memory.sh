# packages: cargo rustc librust-tokio-dev golang-go
# A million tasks that sleep: what they take, and how long.
tasks=$(size 1000000 10000)
measure perf_memory $tasks
measure perf_memory bare $tasks
measure perf_blocked_tokio memory $tasks
measure perf_blocked_go memory $tasks
goal blocked-memory yoke '<=' 4.4
ratio blocked-time yoke bare '<=' 1.1
