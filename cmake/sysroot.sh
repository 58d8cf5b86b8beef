#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The libraries of a 64-bit Arm target, taken from this Debian's own package source and unpacked
# into build/sysroot-aarch64, where cmake/aarch64-linux-gnu.cmake looks. Needs no root, installs
# nothing and adds no architecture to this machine: apt works on state of its own.
set -eu
cd "$(dirname "$0")/.."
folder=$PWD/build/sysroot-aarch64
packages="libinih-dev libinih1 libpcre2-dev libpcre2-8-0 libutf8proc-dev libutf8proc2
    libxnnpack-dev libxnnpack0 libpthreadpool-dev libpthreadpool0 libcpuinfo-dev libcpuinfo0"

# shellcheck disable=SC2086
wanted=$(printf '%s ' $packages)
if [ "$(cat "$folder/complete" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial" "$folder/packages"
: >"$folder/apt/status"
for_arm() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$folder/apt" -o Dir::State::status="$folder/apt/status" \
        -o Dir::Cache="$folder/apt" -o APT::Sandbox::User= "$@"
}
for_arm update
(
    cd "$folder/packages"
    # shellcheck disable=SC2086
    for_arm download $packages
    for package in *.deb; do
        dpkg-deb -x "$package" "$folder"
    done
)
rm -rf "$folder/apt" "$folder/packages"
printf '%s' "$wanted" >"$folder/complete"
