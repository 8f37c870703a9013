#!/usr/bin/env bash
# fanout.sh FANOUT PEER CASE: the service, its backends and its clients, in a directory of its own that is removed afterwards.
set -euo pipefail
fanout=$1 peer=$2 case=$3 here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C
dir=$(mktemp -d)
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

fail() {
    echo "FAILED: $*" >&2
    tail -n 20 ./*.err >&2 || true
    exit 1
}

# start NAME COMMAND...: its pid in $pid, its output in NAME.out and NAME.err.
start() {
    local name=$1
    shift
    "$@" >"$name.out" 2>"$name.err" &
    pid=$!
    pids+=("$pid")
}

# first_line NAME: waits for it.
first_line() {
    until [ -s "$1.out" ] && [ "$(wc -l <"$1.out")" -ge 1 ]; do
        kill -0 "$pid" 2>/dev/null || fail "$1 has ended"
        sleep 0.01
    done
    head -n 1 "$1.out"
}

backends=()
serving=0
# What nobody is to be late for, however slow the machine, is longer than a test may take.
never=600000
patience=$never # for the backends
answering=$never
grace=$never
# service MODE...: three or more backends, "delay 50" one of them, and the service before them.
service() {
    local mode addresses=() i=0
    for mode in "$@"; do
        # shellcheck disable=SC2086
        start "backend$serving$i" "$peer" $mode
        addresses+=("$(first_line "backend$serving$i")")
        backends+=("$pid")
        i=$((i + 1))
    done
    start "service$serving" "${limited[@]}" "$fanout" -t "$patience" -r "$never" -w "$answering" -g "$grace" -b "$buffer" 127.0.0.1:0 "${addresses[@]}"
    main=$pid
    address=$(first_line "service$serving")
    address=${address#listening on }
}
limited=()
buffer=0

# stop: asks all to end, in turn, and looks for what was left behind: nothing is reported, nothing leaks.
stop() {
    kill -TERM "$main"
    stopped
}
stopped() {
    local rc=0 one
    wait "$main" || rc=$?
    [ $rc = 0 ] || fail "the service: exit $rc"
    ! grep -v "${expected:-^$}" "service$serving.err" || fail "the service has said something" # in debug mode also what was not given back
    for one in "${backends[@]}"; do
        kill -TERM "$one"
        rc=0
        wait "$one" || rc=$?
        [ $rc = 0 ] || fail "a backend: exit $rc"
    done
    ! grep 'not given back' ./*.err || fail "something is left"
    backends=()
    serving=$((serving + 1))
}

# ask CODE LEAST: what curl gets, and that it took at least so many milliseconds (how long at most is nobody's promise).
ask() {
    local got code time
    got=$(curl -s -o body -w '%{http_code} %{time_total}' "http://$address/") || fail "curl: exit $?"
    read -r code time <<<"$got"
    [ "$code" = "$1" ] || fail "$code instead of $1"
    awk -v time="$time" -v least="$2" 'BEGIN { exit !(time * 1000 >= least) }' || fail "$code after $time s, at least $2 ms were to pass"
}

answers() { # in the body
    grep -c '^answer$' body || true
}

# Without pipes: the service has none, but ThreadSanitizer's symbolizer opens two when it first has something to look up.
descriptors() {
    { find "/proc/$main/fd" -mindepth 1 ! -lname 'pipe:*' 2>/dev/null || true; } | wc -l # one that is closed meanwhile is no failure
}
sockets() {
    { find "/proc/$main/fd" -mindepth 1 -lname 'socket:*' 2>/dev/null || true; } | wc -l
}

# load KIND SECONDS: 64 connections; some answers come, all of that kind: ok (200) or late (504). On a slow machine it may take longer.
load() {
    local -n wanted=$1
    wanted=0
    while [ "$wanted" = 0 ]; do
        wrk -t2 -c64 "-d$2s" --timeout 600s -s "$here/count.lua" "http://$address/" >wrk.out || fail "wrk: exit $?"
        cat wrk.out
        read -r _ ok late other errors <<<"$(grep '^counts' wrk.out)"
        ((ok + late + other + errors == wanted)) || fail "load"
    done
}

case $case in
outcomes)
    service answer answer answer
    ask 200 0
    [ "$(answers)" -ge 2 ] || fail "$(answers) answers"
    stop
    service answer stall answer # the slowest is not waited for: it would take for ever
    ask 200 0
    [ "$(answers)" = 2 ] || fail "$(answers) answers"
    stop
    service "delay 100" refuse "delay 40"
    ask 200 100
    stop
    service answer reset "trickle 1"
    ask 200 0
    [ "$(answers)" = 2 ] || fail "$(answers) answers"
    stop
    patience=300
    service stall answer stall
    ask 504 300
    stop
    service "delay $never" "trickle $never" answer
    ask 504 300
    stop
    patience=$never
    service refuse answer refuse
    ask 502 0
    stop
    service refuse stall refuse # two cannot answer any more: told at once, not when the time is up
    ask 502 0
    stop
    service reset reset answer
    ask 502 0
    stop
    ;;
load)
    service answer answer stall refuse
    load ok 10
    ask 200 0
    stop
    patience=300
    service answer stall refuse # two answers cannot come
    load late 1
    ask 504 300
    stop
    ;;
stop)
    service answer "delay 5" stall "delay 20"
    start crowd "$peer" crowd "$address" 64
    first_line crowd >/dev/null # many requests are on their way
    kill -TERM "$main"
    rc=0
    wait "$pid" || rc=$?
    [ $rc = 0 ] || fail "the clients: exit $rc"
    stopped
    served=$(awk '/connections/ { print $1 }' service0.out)
    answered=$(awk '/answered/ { print $1 }' crowd.out)
    cat service0.out crowd.out
    grep -q ' 0 failed, 0 cut$' service0.out || fail "what was accepted was not served"
    [ "$served" = "$answered" ] || fail "$served accepted, $answered answered"
    ;;
limit)
    limited=(bash -c 'ulimit -n 80; exec "$@"' -)
    service answer answer "delay 20"
    ask 200 0
    for _ in 1 2 3; do
        before=$(descriptors)
        start burst "$peer" burst "$address" 200
        rc=0
        wait "$pid" || rc=$?
        cat burst.out
        [ $rc = 0 ] || fail "the clients: exit $rc"
        grep -q '^200 answered, 0 lost$' burst.out || fail "not all were answered"
        until [ "$(descriptors)" -le "$before" ]; do # the last connections end after their answers
            kill -0 "$main" || fail "the service has ended"
            sleep 0.01
        done
        ask 200 0 # it has recovered
    done
    stop
    ;;
mute)
    grace=1000
    service answer stall answer
    start mute "$peer" mute "$address" 64
    first_line mute >/dev/null
    quiet=$pid
    for _ in $(seq 5); do ask 200 0; done # accepted after them
    until [ "$(sockets)" = 33 ]; do # the listener's and theirs who have not asked: all others have been served
        kill -0 "$main" || fail "the service has ended"
        sleep 0.01
    done
    expected="the grace of its stop ran out; tasks cut: 34$" # those who have not asked, and the two tasks that wait for them
    stop # though they say nothing and take nothing
    [ "$(wc -l <service0.err)" = 1 ] || fail "nothing was cut"
    grep -q '^69 connections' service0.out || { cat service0.out; fail "connections"; }
    kill -TERM "$quiet"
    rc=0
    wait "$quiet" || rc=$?
    [ $rc = 0 ] || fail "the clients: exit $rc"
    ;;
deaf)
    buffer=1 # less than an answer, whatever the kernel makes of it
    answering=4000
    service "long 5000" "long 5000" stall
    ask 200 0
    start deaf "$peer" deaf "$address" 8
    first_line deaf >/dev/null
    quiet=$pid
    ask 200 0 # accepted after them
    stop # the answer that nobody takes is given up after 4 s, though it is written under a shield: the grace does not run out
    cat service0.out
    grep -q '^10 connections, 8 failed, 0 cut$' service0.out || fail "what nobody read was not given up"
    kill -TERM "$quiet"
    rc=0
    wait "$quiet" || rc=$?
    [ $rc = 0 ] || fail "the clients: exit $rc"
    ;;
settings)
    service answer answer answer
    stop
    printf '[yoke]\nworkers = 0\n' >yoke.conf
    rc=0
    "$fanout" 127.0.0.1:0 127.0.0.1:1 127.0.0.1:1 2>err || rc=$?
    [ $rc = 1 ] || fail "exit $rc"
    grep -q 'yoke.conf.*workers' err || fail "said: $(cat err)"
    printf '[yoke]\nworkers = 1\n' >yoke.conf
    service answer answer answer
    ask 200 0
    rc=0
    "$fanout" "$address" 127.0.0.1:1 127.0.0.1:1 2>err || rc=$?
    { [ $rc = 1 ] && grep -q 'Address already in use' err; } || fail "exit $rc: $(cat err)"
    rc=0
    "$fanout" "$address" 2>err || rc=$?
    { [ $rc = 2 ] && grep -q usage err; } || fail "exit $rc: $(cat err)"
    stop
    ;;
*)
    fail "no such case"
    ;;
esac
