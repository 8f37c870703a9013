# packages: g++ libuv1-dev libasio-dev golang-go cargo rustc librust-tokio-dev
# An echo of 64 bytes over loopback TCP at 1, 64 and 1000 connections: rate, latencies, and the server's CPU time per request.
# bound: one worker on core 0, the client on core 1. shared: two workers and the client on both cores.
MS=$(size 2000 100)
peers epoll libuv asio go tokio
for connections in 1 64 1000; do
    for server in "" "${there[@]}"; do
        program=$bin/perf_echo${server:+_$server}
        measure perf_echo_client bound-$connections $connections "$MS" 0 1 "$program" 1
        measure perf_echo_client shared-$connections $connections "$MS" -1 -1 "$program" 2
    done
done
for connections in 64 1000; do
    ratio bound-$connections-rate yoke epoll '>=' 0.95
    ratio bound-$connections-cpu yoke epoll '<=' 1.1
done
for connections in 1 64 1000; do
    ratio shared-$connections-cpu yoke best '<=' 1.15
done
