# A million tasks that sleep: what they take, and how long.
measure perf_memory
measure perf_memory bare
goal blocked-memory yoke '<=' 4.4
ratio blocked-time yoke bare '<=' 1.1
