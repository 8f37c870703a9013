#!/usr/bin/env bash
# What an operation costs in instructions, and how many of them lock memory, which does not depend on the machine.
#   count.sh DIRECTORY LIBRARY OPERATION [N]     the directory holds perf_operations and perf_steal, and LIBRARY is libyoke.so
# Runs the program under Valgrind with N and with 2 N operations and prints the difference, as "case subject value unit", two lines. Locked
# instructions (read-modify-writes, stores with a full barrier, fences) are found in the disassembly, and counted as often as they ran: those
# in the program and in the library, not in libc. Exits with 77 where Valgrind or objdump are missing.
set -euo pipefail
directory=$1 library=$(readlink -f "$2") operation=$3 n=${4:-20000}
command -v valgrind >/dev/null && command -v objdump >/dev/null || { echo "valgrind or objdump is missing" >&2; exit 77; }
case $operation in
publish | steal) program=$directory/perf_steal ;;
*) program=$directory/perf_operations ;;
esac
program=$(readlink -f "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for object in "$program" "$library"; do
    objdump -d --no-show-raw-insn "$object" | awk -v object="$object" '
        /^ *[0-9a-f]+:/ && (/[ \t]lock / || /[ \t]xchg .*\(/ || /[ \t]mfence/) { sub(/:.*/, ""); gsub(/[ \t]/, ""); print object, "0x" $0 }'
done >"$work/locked"

# Prints how many instructions ran, and how many of those that lock.
run() {
    env -u YOKE_CONFIG valgrind --tool=callgrind --dump-instr=yes --compress-strings=no --compress-pos=no \
        --callgrind-out-file="$work/counts" "$program" "$operation" "$1" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
    awk 'NR == FNR { locked[$1, $2] = 1; next }
        /^ob=/ { object = substr($0, 4) }
        /^calls=/ { getline; next } # the line after it is what the callee took, which is counted there
        /^0x/ { all += $3; if ((object, $1) in locked) some += $3 }
        END { printf "%.0f %.0f\n", all, some }' "$work/locked" "$work/counts"
}

once=$(run "$n")
twice=$(run $((2 * n)))
awk -v once="$once" -v twice="$twice" -v n="$n" -v operation="$operation" 'BEGIN {
    split(once, a, " "); split(twice, b, " ")
    subject = operation == "call" ? "plain-C" : "yoke"
    printf "%s\t%s\t%.1f\tinstructions\n", operation, subject, (b[1] - a[1]) / n
    printf "%s-locked\t%s\t%.2f\tlocked instructions\n", operation, subject, (b[2] > a[2] ? b[2] - a[2] : 0) / n }'
