# packages: openssl coreutils findutils
# yoke-sum beside the usual tools, warm: 50,000 files of 1-8 KB, and 8 files of 256 MB. All must find the same sums.
data=$PWD/build/perf-data$(size "" -quick)
if [ ! -e "$data/made" ]; then
    echo "making the files in ${data#"$PWD"/} $(size "(2.3 GB)" "")" >&2
    rm -rf "$data"
    mkdir -p "$data"
    if ! "$bin/perf_sum_data" "$data" $(size "500 268435456" "5 4194304") 2>"$out/errors"; then # 256 MB, and 4 MB
        failed "its files could not be made"
        return 0
    fi
    touch "$data/made"
fi
find "$data/small" -type f -print0 | LC_ALL=C sort -z >"$data/small.list"

timed() { # CASE PEER SUBJECT COMMAND...: PEER is "ours" or a name of perf/peers/list
    local what=$1 peer=$2 subject=$3
    shift 3
    [ "$peer" = ours ] || wanted "$peer" || return 0
    command -v "$1" >/dev/null || { missing "$peer"; return 0; }
    local begin end
    begin=$(date +%s.%N)
    "$@" >"$out/output" 2>"$out/errors" || { failed "$subject on $what"; return 0; }
    end=$(date +%s.%N)
    sed 's/^SHA2-256(\(.*\))= \(.*\)/\2  \1/' "$out/output" | LC_ALL=C sort >"$out/sums" # openssl has a form of its own
    [ "$peer" != ours ] || mv "$out/sums" "$out/our-sums"
    if [ "$peer" != ours ] && ! cmp -s "$out/sums" "$out/our-sums"; then
        echo "other sums than ours" >"$out/errors"
        failed "$subject on $what"
        return 0
    fi
    awk -v b="$begin" -v e="$end" -v w="$what" -v s="$subject" 'BEGIN { printf "%s\t%s\t%.3f\ts\n", w, s, e - b }' | record
}
xargs_sum() { find "$1" -type f -print0 | xargs -0 -n64 -P2 sha256sum; }
two_openssl() {
    openssl dgst -sha256 "$data"/large/[1-4] &
    local first=$!
    openssl dgst -sha256 "$data"/large/[5-8] &
    wait $first && wait $!
}
plain() { $bin/perf_sum_plain 2 <"$data/small.list"; }
ours=build/release-gcc/examples/yoke-sum

timed sum-small ours yoke-sum $ours "$data/small"
timed sum-small xargs xargs-sha256sum xargs_sum "$data/small"
timed sum-small plain plain-C-2-threads plain
timed sum-large ours yoke-sum $ours "$data/large"
timed sum-large xargs xargs-sha256sum xargs_sum "$data/large"
timed sum-large openssl openssl-2 two_openssl
rm -f "$out/sums" "$out/our-sums"
ratio sum-small xargs-sha256sum yoke-sum '>=' 6
ratio sum-small plain-C-2-threads yoke-sum '>=' 0.7
ratio sum-large xargs-sha256sum yoke-sum '>=' 3
ratio sum-large openssl-2 yoke-sum '>=' 0.9
