# From task to task on one worker: yields, and a permit handed to and fro.
measure perf_switch
goal yield-pair yoke '<=' 12
