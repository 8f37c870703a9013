# Shared by the scripts beside it: sourced, not run. Leaves the shell in the project's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# need_packages PACKAGE...: installs the Debian packages that are missing, or says how to.
need_packages() {
    local missing=() package run=()
    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian: please see to it that these are there: $*" >&2
        return 0
    fi
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "Missing packages, and no right to install them here. Please run:" >&2
            echo "    sudo apt-get install ${missing[*]}" >&2
            exit 1
        fi
        run=(sudo -n env)
    else
        run=(env)
    fi
    echo "Installing: ${missing[*]}"
    # Another apt may be at work, as it is after the start of many machines; a mirror may be slow.
    local apt=(apt-get -q -o DPkg::Lock::Timeout=900 -o Acquire::Retries=5)
    run+=(DEBIAN_FRONTEND=noninteractive)
    "${run[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        "${run[@]}" "${apt[@]}" update || true # the other one may be about it
        "${run[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
    }
}

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libck-dev libhwloc-dev libinih-dev libssl-dev)
test_packages=("${build_packages[@]}" g++ clang libclang-rt-14-dev libcmocka-dev valgrind coreutils findutils util-linux spin curl wrk)

# build PRESET [CMAKE OPTION...]: configures and builds, quietly unless it fails.
build() {
    local preset=$1
    shift
    cmake --preset "$preset" "$@" >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; rm -f "build-$preset.log"; return 1; }
    rm -f "build-$preset.log"
    cmake --build "build/$preset" -- -k 0
}
