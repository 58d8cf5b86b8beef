# SPDX-License-Identifier: Apache-2.0
# Sourced by quickstart and check: Debian packages, and the steps both share.

# The registry refuses plugins that others may write to, so the build must not make such files.
umask 022

say() {
    now=$(date +%s)
    started=${started:-$now}
    printf '== %d:%02d %s\n' $(((now - started) / 60)) $(((now - started) % 60)) "$*"
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

missing_packages() {
    for package in "$@"; do
        case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
            *" installed") ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

# Installs what is missing of the packages named. Answers 1 when that is not possible.
install_packages() {
    command -v dpkg-query >/dev/null 2>&1 || {
        say "this is no Debian system; make sure you have: $*"
        return 1
    }
    missing=$(missing_packages "$@")
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=env
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n env"
    elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
        as_root="sudo env"
    else
        say "neither root nor sudo here; missing Debian packages: $missing"
        return 1
    fi
    say "installing Debian packages: $missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! apt_install $missing; then
        $as_root apt-get update -q >>"$log" 2>&1
        # One by one, so that a name this release does not know stops nobody else.
        # shellcheck disable=SC2086
        apt_install $missing || for package in $missing; do
            apt_install "$package" || true
        done
    fi
    missing=$(missing_packages "$@")
    if [ -n "$missing" ]; then
        tail -n 5 "$log" >&2
        say "apt-get could not install: $missing"
    fi
    rm -f "$log"
    [ -z "$missing" ]
}

apt_install() {
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
        >>"$log" 2>&1
}

BUILD_PACKAGES="gcc g++ libc6-dev cmake ninja-build pkg-config python3 libinih-dev libxnnpack-dev
    libpthreadpool-dev libcpuinfo-dev libpcre2-dev libutf8proc-dev libvulkan-dev glslc spirv-tools
    opencl-c-headers"
CHECK_PACKAGES="$BUILD_PACKAGES git make binutils python3-venv clang clang-format clang-tidy
    libclang-rt-14-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    mesa-vulkan-drivers vulkan-validationlayers ocl-icd-libopencl1 pocl-opencl-icd"

require_programs() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 ||
            die "cannot build without the program $program; install its package and run me again"
    done
}

# build_preset NAME [CMAKE ARGUMENTS]: configures and builds one preset of CMakePresets.json; quiet
# unless it fails.
build_preset() {
    preset=$1
    shift
    log="build/$preset.log"
    mkdir -p build
    say "building build/$preset"
    if ! { cmake --preset "$preset" "$@" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
        grep -E -A 12 'error|FAILED|Error' "$log" | head -n 60 >&2
        die "the build of $preset failed; the whole log is in $log"
    fi
}
