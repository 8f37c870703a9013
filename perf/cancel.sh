# 100,000 blocked tasks, cancelled and joined.
measure perf_cancel
goal cancel yoke '<=' 15
