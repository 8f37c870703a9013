#!/usr/bin/env bash
# consumer.sh WAY SOURCE BUILD CC CXX: builds and runs the two programs beside this script in one of the ways that users have.
set -euo pipefail
way=$1 source=$2 build=$3 cc=$4 cxx=$5
here=$source/tests/consumer
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
c=(-std=c11 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
cpp=(-std=c++17 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

install_it() {
    cmake --install "$build" --prefix "$dir/usr" >/dev/null
    lib=$(dirname "$(find "$dir/usr" -name libyoke.so)")
}

with_cmake() { # LINES TARGET
    mkdir "$dir/project"
    cp "$here/consumer.c" "$here/consumer.cpp" "$dir/project"
    {
        echo 'cmake_minimum_required(VERSION 3.25)'
        echo 'project(consumer LANGUAGES C CXX)'
        echo "$1"
        echo 'get_target_property(real '"$2"' ALIASED_TARGET)'
        echo 'if(NOT real)'
        echo "  set(real $2)"
        echo 'endif()'
        echo 'foreach(leak IN ITEMS COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_OPTIONS COMPILE_FEATURES)'
        echo '  get_target_property(value ${real} INTERFACE_${leak})'
        echo '  if(value)'
        echo '    message(FATAL_ERROR "leaks ${leak}: ${value}")'
        echo '  endif()'
        echo 'endforeach()'
        echo 'add_executable(c consumer.c)'
        echo 'set_target_properties(c PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF)'
        echo 'add_executable(cpp consumer.cpp)'
        echo 'set_target_properties(cpp PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)'
        echo 'target_compile_options(c PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)'
        echo 'target_compile_options(cpp PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)'
        echo "target_link_libraries(c PRIVATE $2)"
        echo "target_link_libraries(cpp PRIVATE $2)"
        echo 'get_property(tests DIRECTORY PROPERTY TESTS)'
        echo 'if(tests OR TARGET yoke-sum)'
        echo '  message(FATAL_ERROR "brings tests or examples along")'
        echo 'endif()'
    } >"$dir/project/CMakeLists.txt"
    cmake -S "$dir/project" -B "$dir/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
        -DCMAKE_PREFIX_PATH="$dir/usr" >"$dir/log" 2>&1 || { cat "$dir/log"; fail configure; }
    cmake --build "$dir/build" -- -j2 >"$dir/log" 2>&1 || { cat "$dir/log"; fail build; }
    "$dir/build/c"
    "$dir/build/cpp"
}

with_pkgconfig() { # OPTIONS...
    export PKG_CONFIG_PATH=$lib/pkgconfig
    local flags
    read -ra flags <<<"$(pkg-config --cflags "$@" yoke)"
    local libs
    read -ra libs <<<"$(pkg-config --libs "$@" yoke)"
    "$cc" "${c[@]}" "${flags[@]}" "$here/consumer.c" -o "$dir/c" "${libs[@]}"
    "$cxx" "${cpp[@]}" "${flags[@]}" "$here/consumer.cpp" -o "$dir/cpp" "${libs[@]}"
    LD_LIBRARY_PATH=$lib "$dir/c"
    LD_LIBRARY_PATH=$lib "$dir/cpp"
}

case $way in
package)
    install_it
    with_cmake 'find_package(yoke 0.1 REQUIRED)' yoke::yoke
    ;;
package-static)
    install_it
    with_cmake 'find_package(yoke 0.1 REQUIRED)' yoke::yoke_static
    ! ldd "$dir/build/c" | grep libyoke >/dev/null || fail "not static"
    ;;
pkgconfig)
    install_it
    with_pkgconfig
    ldd "$dir/c" | grep libyoke.so.0 >/dev/null || fail "not shared"
    ;;
pkgconfig-static)
    install_it
    rm "$lib"/libyoke.so*
    with_pkgconfig --static
    ;;
subdirectory)
    with_cmake "add_subdirectory($source yoke)" yoke::yoke
    ;;
fetch)
    with_cmake "include(FetchContent)
FetchContent_Declare(yoke SOURCE_DIR $source)
FetchContent_MakeAvailable(yoke)" yoke::yoke_static
    ;;
symbols)
    install_it
    bad=$(nm -D --defined-only "$lib/libyoke.so" | awk '{ print $3 }' | grep -v -e '^yoke_[a-z]' -e '^yoke__fast_' -e '^YOKE_0\.1' || true)
    [ -z "$bad" ] || fail "exported: $bad"
    objdump -p "$lib/libyoke.so" | grep 'SONAME *libyoke.so.0$' >/dev/null || fail "soname"
    find "$dir/usr/include" -type f -printf '%P\n' | grep -v '^yoke/' && fail "headers outside of yoke/"
    for header in $(cd "$dir/usr/include" && find yoke -name '*.h'); do # each stands alone
        echo "#include <$header>" | "$cc" "${c[@]}" -Wno-unused -I"$dir/usr/include" -x c -fsyntax-only - || fail "$header in C"
        echo "#include <$header>" | "$cxx" "${cpp[@]}" -Wno-unused -I"$dir/usr/include" -x c++ -fsyntax-only - || fail "$header in C++"
    done
    ! grep -rE '#include.*(stdatomic|hwloc|ck_)' "$dir/usr/include" || fail "private things in public headers"
    ;;
readme)
    install_it
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" >"$dir/readme.c"
    "$cc" "${c[@]}" -I"$dir/usr/include" "$dir/readme.c" -o "$dir/readme" -L"$lib" -lyoke
    LD_LIBRARY_PATH=$lib "$dir/readme" >"$dir/out"
    cat "$dir/out"
    [ -s "$dir/out" ]
    ;;
esac
