# packages: valgrind binutils
# What operations cost in instructions, which does not depend on the machine (instructions/count.sh); guarded by tests/instructions.
for operation in call fork-typed fork-plain spawn spawn-copied spawn-member group scope checkpoint yield yield-pair hand-over lock publish steal; do
    if perf/instructions/count.sh $bin build/release-gcc/executor/libyoke.so $operation "$(size 20000 2000)" >"$out/output" 2>"$out/errors"; then
        record <"$out/output"
    elif (($? == 77)); then
        missing valgrind
    else
        failed "count.sh $operation"
    fi
done
