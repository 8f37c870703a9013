#!/usr/bin/env bash
# spin.sh MODEL CC: searches all states of a model for spin. It must hold as it stands, in each of its sizes; with any one of its BROKEN
# lines it must not, or it would prove nothing. Exits with 77 if spin is missing.
set -euo pipefail
model=$(realpath "$1") cc=$2
command -v spin >/dev/null || { echo "SKIPPED: spin is not installed; on Debian: apt-get install spin"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# search DEFINITION...: sets `errors` and `states`. Not optimized: that takes longer than what it saves in the search.
search() {
    spin -a "$@" "$model" >log || { cat log; exit 1; }
    "$cc" -O0 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c
    timeout 1200 ./pan -m10000 >log || { cat log; exit 1; }
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' log)
    states=$(sed -n 's/ *\([^ ]*\) states, stored.*/\1/p' log)
    if [ "$errors" = 0 ] && grep -q "not completed" log; then
        cat log
        exit 1
    fi
}

failed=0
mapfile -t sizes < <(sed -n 's/^ \* Size: //p' "$model")
for size in "${sizes[@]}"; do
    read -ra definitions <<<"$size"
    search "${definitions[@]}"
    echo "$size: $errors errors in $states states"
    if [ "$errors" != 0 ]; then
        spin "${definitions[@]}" -t -p -g "$model" || true
        failed=1
    fi
done
read -ra definitions <<<"${sizes[0]}"
for line in $(grep -oE 'BROKEN [!=]= [1-9][0-9]*' "$model" | grep -oE '[0-9]+' | sort -nu); do
    search "${definitions[@]}" -DBROKEN="$line"
    if [ "$errors" != 0 ]; then
        echo "broken line $line: found in $states states"
    else
        echo "broken line $line: NOT FOUND"
        failed=1
    fi
done
exit $failed
