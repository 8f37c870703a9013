# packages: cargo rustc librust-tokio-dev golang-go
# Arming and disarming a deadline; how late a sleep is.
for program in perf_timer perf_timer_tokio perf_timer_go; do
    measure $program $(size "1000000 100000 500" "10000 1000 20") # times, live, sleeps
done
goal arm-disarm yoke '<=' 60
ratio sleep-late yoke epoll_pwait2 '<=' 1.15
