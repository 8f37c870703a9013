#!/usr/bin/env bash
# programs.sh PAGE CC INCLUDE[:INCLUDE...] LIBRARY-DIRECTORY [PROGRAMS]
# A block ```c whose first line is "/* file: NAME.c */" is a program; a block "```text expected output" after it is what it prints.
set -euo pipefail
page=$1 cc=$2 lib=$4 least=${5:-6}
IFS=: read -ra include <<<"$3"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk -v dir="$dir" '
    /^```c$/ { getline line; if (match(line, /file: [a-z0-9_]+\.c/)) { name = substr(line, RSTART + 6, RLENGTH - 8); out = dir "/" name ".c"; print line > out } next }
    /^```text expected output$/ { out = dir "/" name ".expected"; printf "" > out; next }
    /^```$/ { if (out != "") close(out); out = ""; next }
    out != "" { print > out }' "$page"
n=0
for source in "$dir"/*.c; do
    name=${source%.c}
    "$cc" -std=gnu11 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror "${include[@]/#/-I}" "$source" -o "$name" -L"$lib" -lyoke -pthread
    LD_LIBRARY_PATH=$lib timeout 300 "$name" >"$name.out"
    [ ! -e "$name.expected" ] || diff "$name.expected" "$name.out" || { echo "FAILED: $source" >&2; exit 1; }
    n=$((n + 1))
done
echo "$n programs"
[ "$n" -ge "$least" ]
