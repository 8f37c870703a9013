#!/usr/bin/env bash
# sum.sh YOKE_SUM CASE SANITIZER: one case, in a directory of its own that is removed afterwards.
set -euo pipefail
sum=$1 case=$2 sanitizer=${3:-}
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# same PATH...: the same lines in the same order as find, sort and sha256sum give.
same() {
    "$sum" "$@" >ours || fail "yoke-sum $*: exit $?"
    find "$@" -type f -print0 | sort -z | xargs -0 -r sha256sum >theirs
    cmp ours theirs || fail "yoke-sum $* differs"
}

tree() { # a tree whose directories and files sort differently with and without '/'
    mkdir -p t/a t/a.b t/a-c/d/e t/empty t/z
    for f in t/a/1 t/a.b/2 t/a-c/3 t/a-c/d/4 t/a-c/d/e/5 t/a0 t/a! t/z/6 t/.hidden; do echo "$f" >"$f"; done
    : >t/nothing
    ln -s a t/link-to-directory
    ln -s a0 t/link-to-file
    mkfifo t/fifo
    for i in $(seq 300); do head -c $((i * 37)) /dev/urandom >"t/z/many$i"; done
    head -c 300000 /dev/urandom >t/z/large
    head -c 65536 /dev/urandom >t/z/one-buffer
    head -c 262144 /dev/urandom >t/z/one-large-buffer
    head -c 8192 /dev/urandom >t/z/pages
}

case $case in
order)
    tree
    for jobs in 1 2 4; do
        "$sum" -j $jobs t >ours
        find t -type f -print0 | sort -z | xargs -0 sha256sum >theirs
        cmp ours theirs || fail "-j $jobs"
    done
    same t/
    same ./t
    same t/z t/a t/a.b t/a0
    same t t/a t/a-c/d # each file below twice
    same t/a0 t/a0
    sha256sum -c --quiet ours
    cat ours | "$sum" -c - >/dev/null || fail "-c of its own output"
    mkdir deep && (cd deep && for i in $(seq 60); do mkdir "$(printf 'd%040d' "$i")" && cd d*; done && echo bottom >file)
    same deep
    ;;
names)
    mkdir n
    for name in 'with space' $'new\nline' $'back\\slash' $'both\\\n' $'tab\t' "quote'" '-dash' '*' $'carriage\rreturn' $'\xff\xfe'; do
        echo "$name" >"n/$name"
    done
    same n
    sha256sum -c --quiet ours
    "$sum" -c theirs >ours.check || fail "-c: exit $?"
    sha256sum -c theirs >theirs.check
    cmp ours.check theirs.check
    ;;
errors)
    tree
    rc=0
    "$sum" t/a0 nosuch t/a >ours 2>err || rc=$?
    [ $rc = 1 ] || fail "exit $rc"
    [ "$(cat err)" = "yoke-sum: nosuch: No such file or directory" ] || fail "said: $(cat err)"
    sha256sum t/a/1 t/a0 | cmp - ours
    rc=0
    "$sum" t/link-to-file t/fifo >ours 2>err || rc=$?
    { [ $rc = 1 ] && [ ! -s ours ] && [ "$(wc -l <err)" = 2 ]; } || fail "links and pipes: $(cat err)"
    if [ "$(id -u)" = 0 ]; then run=(setpriv --reuid=65534 --clear-groups); else run=(); fi
    chmod 711 "$dir"
    chmod 000 t/a0 t/a
    rc=0
    "${run[@]}" "$sum" t >ours 2>err || rc=$?
    chmod 755 t/a0 t/a
    [ $rc = 1 ] || fail "unreadable: exit $rc"
    grep -q '^yoke-sum: t/a: Permission denied$' err || fail "no word of the directory: $(cat err)"
    grep -q '^yoke-sum: t/a0: Permission denied$' err || fail "no word of the file: $(cat err)"
    find t -type f ! -path 't/a/*' ! -name a0 -print0 | sort -z | xargs -0 sha256sum | cmp - ours
    # files that vanish while they are hashed: a line each, and the rest is right
    mkdir v
    for i in $(seq 2000); do echo $i >v/$i; done
    (for i in $(seq 1 2 2000); do rm -f v/$i; done) &
    rc=0
    "$sum" v >ours 2>err || rc=$?
    wait
    [ $rc -le 1 ] || fail "vanishing: exit $rc"
    ! grep -v ': No such file or directory$' err || fail "vanishing"
    grep -v '/[0-9]*[13579]$' ours >even
    find v -type f -print0 | sort -z | xargs -0 sha256sum | cmp - even
    for bad in "-a md5 t" "-j 0 t" "-j x t" "" "-c ours t" "--nosuch"; do
        rc=0
        # shellcheck disable=SC2086
        "$sum" $bad >/dev/null 2>err || rc=$?
        { [ $rc = 2 ] && [ -s err ]; } || fail "yoke-sum $bad: exit $rc"
    done
    "$sum" --help | grep usage >/dev/null
    "$sum" --version | grep yoke-sum >/dev/null
    rc=0
    "$sum" t >/dev/full 2>err || rc=$?
    { [ $rc = 1 ] && grep -q 'No space left' err; } || fail "full device: $rc $(cat err)"
    ;;
check)
    tree
    "$sum" t >list
    cp list wrong
    sed -i '3s/^./x/; 5s/^\(.\)\(.\)/\2\1/' wrong
    echo 'no sum at all' >>wrong
    rm -f t/a.b/2
    for list in list wrong; do
        orc=0 trc=0
        "$sum" -c $list >ours 2>ours.err || orc=$?
        sha256sum -c $list >theirs 2>theirs.err || trc=$?
        cmp ours theirs || fail "$list: output"
        sed 's/^yoke-sum/sha256sum/' ours.err | sort | cmp - <(sort theirs.err) || { cat ours.err theirs.err; fail "$list: errors"; }
        [ $orc = $trc ] || fail "$list: exit $orc instead of $trc"
    done
    echo nothing >empty
    rc=0
    "$sum" -c empty 2>err || rc=$?
    { [ $rc = 1 ] && grep -q 'no properly formatted checksum lines found' err; } || fail "empty list"
    rc=0
    "$sum" -c nosuch 2>err || rc=$?
    [ $rc = 1 ] || fail "missing list"
    ;;
algorithms)
    tree
    find t -type f -print0 | sort -z | xargs -0 sha512sum >theirs
    "$sum" -a sha512 t | cmp - theirs
    "$sum" -a sha512 -c theirs >/dev/null
    find t -type f -print0 | sort -z | xargs -0 b2sum >theirs
    "$sum" -a blake2b t | cmp - theirs
    "$sum" -a blake2b -c theirs >/dev/null
    ;;
limits)
    tree
    (ulimit -n 64 && "$sum" -j 4 t >ours) || fail "64 descriptors"
    find t -type f -print0 | sort -z | xargs -0 sha256sum | cmp - ours
    mkdir wide many
    if [ -n "$sanitizer" ]; then files=2000 size=64M; else files=50000 size=10G; fi
    (cd many && seq -f 'a-file-with-a-name-%06g' $files | xargs touch)
    for i in $(seq 1 40); do truncate -s 300K wide/l$i; done
    truncate -s $size sparse
    for what in many wide sparse; do
        [ -n "$sanitizer" ] && { "$sum" $what >ours; continue; }
        /usr/bin/env bash -c 'ulimit -v 4000000; exec "$@"' - "$sum" $what >ours &
        pid=$! peak=0
        while kill -0 $pid 2>/dev/null; do
            now=$(awk '/VmHWM/ { print $2 }' /proc/$pid/status 2>/dev/null || true)
            [ -n "$now" ] && [ "$now" -gt "$peak" ] && peak=$now
            sleep 0.02
            [ $what = sparse ] && [ "$peak" -gt 0 ] && [ -z "${enough:-}" ] && enough=$(($(date +%s) + 6))
            if [ -n "${enough:-}" ] && [ "$(date +%s)" -gt "$enough" ]; then
                kill -INT $pid 2>/dev/null || true # ten gigabytes take their time, unless they are through now: the memory has been seen
                break
            fi
        done
        wait $pid || [ $what = sparse ] || fail "$what"
        echo "$what: $peak KiB"
        [ "$peak" -lt 65536 ] || fail "$what: $peak KiB resident"
    done
    ;;
interrupt)
    mkdir big
    for i in 1 2 3 4; do truncate -s 2T big/$i; done # not through within the time of a test, however late the signal comes
    set -m # so that the job does not ignore SIGINT
    for after in 0 0 0.01 0.3; do # as soon as it is caught, and later
        "$sum" big >ours 2>err &
        pid=$!
        # caught by the program: the shell that is to become it catches SIGINT as well, and SIGHUP
        until caught=$(awk '/^SigCgt:/ { print $2 }' /proc/$pid/status) && (((0x${caught:-0} & 3) == 2)); do
            kill -0 $pid || fail "ended by itself: $(cat err)"
        done
        [ $after = 0 ] || sleep $after
        kill -INT $pid
        rc=0
        wait $pid || rc=$?
        [ $rc = 130 ] || fail "exit $rc: $(cat err)"
        grep -q '^yoke-sum: interrupted after [0-9]* files, [0-9]* bytes$' err || fail "said: $(cat err)"
    done
    ;;
terminal)
    mkdir big
    truncate -s 700M big/1
    truncate -s 700M big/2
    [ -n "$sanitizer" ] && truncate -s 400M big/1 big/2
    "$sum" big >/dev/null 2>err
    [ ! -s err ] || fail "a line although stderr is no terminal"
    # as long as there is something to do, the line comes sometime
    mkdir endless
    truncate -s 2T endless/1
    : >typescript
    script -q -f -c "echo \$\$ >pid; exec '$sum' endless >ours" typescript </dev/null >/dev/null &
    shown=$!
    until grep -q 'files, .*B/s' typescript; do
        kill -0 $shown || fail "no line on a terminal"
        sleep 0.01
    done
    kill -INT "$(cat pid)"
    wait $shown || true
    script -q -e -c "'$sum' --no-progress big >ours" typescript </dev/null >/dev/null
    ! grep -q 'files,' typescript || fail "a line in spite of --no-progress"
    [ "$(wc -l <ours)" = 2 ] || fail "output"
    ;;
*)
    fail "no such case"
    ;;
esac
