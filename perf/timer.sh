# Arming and disarming a deadline; how late a sleep is.
measure perf_timer
goal arm-disarm yoke '<=' 60
ratio sleep-late yoke epoll_pwait2 '<=' 1.15
