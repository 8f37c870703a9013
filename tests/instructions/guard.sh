#!/usr/bin/env bash
# What an operation costs in instructions is no more than docs/performance.md says.
#   guard.sh DIRECTORY LIBRARY COMPILER PAGE OPERATION   a regression by more than 5 %, or a locked instruction more: 1
#   guard.sh DIRECTORY LIBRARY COMPILER PAGE --record    writes what is measured now into the page's table
# COMPILER: "GCC 12", as in the page: other compilers make other code, and the test is skipped (77), as it is where Valgrind is missing.
set -euo pipefail
directory=$1 library=$2 compiler=$3 page=$4 operation=$5
count=$(dirname "$0")/../../perf/instructions/count.sh

# Prints the table's row: instructions, locked ones.
row() {
    awk -F' *[|] *' -v operation="\`$1\`" '$2 == operation { print $3, $4; found = 1 } END { exit !found }' "$page"
}
measured() {
    "$count" "$directory" "$library" "$1" | awk -F'\t' '{ printf "%s ", $3 }'
}

if [ "$operation" = --record ]; then
    for operation in $(sed -n '/^<!-- instructions:/,/^$/s/^| `\([a-z-]*\)` .*/\1/p' "$page"); do
        read -r instructions locked <<<"$(measured "$operation")"
        awk -v operation="\`$operation\`" -v instructions="$instructions" -v locked="$locked" '
            BEGIN { FS = OFS = "|" }
            NF > 4 && $2 == " " operation " " { $3 = " " instructions " "; $4 = " " locked " " }
            { print }' "$page" >"$page.new"
        mv "$page.new" "$page"
        echo "$operation: $instructions, of which locked $locked"
    done
    sed -i "s/^<!-- instructions: .* -->/<!-- instructions: $compiler -->/" "$page"
    exit 0
fi

grep -qxF "<!-- instructions: $compiler -->" "$page" || { echo "recorded with another compiler than $compiler"; exit 77; }
expected=$(row "$operation") || { echo "$page has no row for $operation"; exit 1; }
actual=$(measured "$operation") || exit $?
read -r instructions locked <<<"$actual"
read -r instructions_then locked_then <<<"$expected"
echo "$operation: $instructions instructions, of which locked $locked; recorded: $instructions_then and $locked_then"
awk -v i="$instructions" -v l="$locked" -v i0="$instructions_then" -v l0="$locked_then" 'BEGIN {
    if (i < 0.95 * i0)
        print "better than recorded: please record it (guard.sh ... --record), so that it stays"
    if (i > 1.05 * i0 + 0.5 || l > l0 + 0.1) {
        print "a regression; if it is meant, record it (guard.sh ... --record)"
        exit 1
    }
}'
