# From a spawn on a busy worker to the task's start on an idle one.
measure perf_wake "$(size 3000 100)"
goal wake-searching yoke '<=' 0.4
ratio wake-asleep yoke futex '<=' 1.15
