# packages: binutils g++ libtbb-dev
# What a runtime costs by being there: an empty yoke_run, the memory of an idle one, the size of the library.
for workers in 1 2; do
    measure perf_run $workers
    measure perf_run_threads $workers
    measure perf_start_tbb run $workers
    goal run-$workers yoke '<=' 1
done
measure perf_resident 2
measure perf_start_tbb resident 2
goal resident-2 yoke '<=' 2
goal private-2 yoke '<=' 2

stripped_size() { # SUBJECT FILE: its bytes without symbols
    strip -o "$out/stripped" "$2" && stat -L -c "library-size %s" "$out/stripped" | awk -v s="$1" '{ printf "%s\t%s\t%.0f\tkB\n", $1, s, $2 / 1000 }' | record
    rm -f "$out/stripped"
}
stripped_size yoke build/release-gcc/executor/libyoke.so
for other in oneTBB:libtbb.so libgomp:libgomp.so.1 libuv:libuv.so.1; do
    # awk reads to the end: else ldconfig could fail, by a broken pipe
    file=$(ldconfig -p | awk -v name="${other#*:}" 'index($1, name) == 1 && !found++ { print $NF }')
    [ -z "$file" ] || stripped_size "${other%:*}" "$file"
done
goal library-size yoke '<=' 300
