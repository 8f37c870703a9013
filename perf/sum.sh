# packages: openssl coreutils findutils
# yoke-sum beside the usual tools, warm: 50,000 files of 1-8 KB, and 8 files of 256 MB.
data=$PWD/build/perf-data
if [ ! -e "$data/complete" ]; then
    echo "making the files in build/perf-data (2.3 GB)" >&2
    rm -rf "$data"
    mkdir -p "$data/small" "$data/large"
    (
        cd "$data"
        head -c 8192 /dev/urandom >block
        for d in $(seq -w 0 99); do
            mkdir small/$d
            for i in $(seq -w 0 499); do head -c $((1024 + (RANDOM % 7169))) block >small/$d/$i; done
        done
        head -c 268435456 /dev/urandom >large/1
        for i in 2 3 4 5 6 7 8; do cp large/1 large/$i; done
        rm block
        touch complete
    )
fi
find "$data/small" -type f -print0 | LC_ALL=C sort -z >"$data/small.list"

timed() { # CASE SUBJECT COMMAND...
    local what=$1 subject=$2
    shift 2
    local begin end
    begin=$(date +%s.%N)
    "$@" >/dev/null
    end=$(date +%s.%N)
    awk -v b="$begin" -v e="$end" -v w="$what" -v s="$subject" 'BEGIN { printf "%s\t%s\t%.3f\ts\n", w, s, e - b }' | record
}
xargs_sum() { find "$1" -type f -print0 | xargs -0 -n64 -P2 sha256sum; }
two_openssl() { openssl dgst -sha256 "$data"/large/[1-4] & openssl dgst -sha256 "$data"/large/[5-8]; wait $!; }
plain() { build/release-gcc/perf/perf_sum_plain 2 <"$data/small.list"; }
ours=build/release-gcc/examples/yoke-sum

timed sum-small yoke-sum $ours "$data/small"
timed sum-small xargs-sha256sum xargs_sum "$data/small"
timed sum-small plain-C-2-threads plain
timed sum-large yoke-sum $ours "$data/large"
timed sum-large xargs-sha256sum xargs_sum "$data/large"
timed sum-large openssl-2 two_openssl
ratio sum-small xargs-sha256sum yoke-sum '>=' 6
ratio sum-small plain-C-2-threads yoke-sum '>=' 0.7
ratio sum-large xargs-sha256sum yoke-sum '>=' 3
ratio sum-large openssl-2 yoke-sum '>=' 0.9
