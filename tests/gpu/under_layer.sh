#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tests of gpu-vulkan under the Khronos validation layer; a word of it is a failure. CI runs the
# driver's own tests so (gpu_driver_vulkan_layer, gpu_vulkan_layer); this takes any others.
#
#   under_layer.sh BUILD [--assisted] CTEST_REGEX     tests of ctest
#   under_layer.sh BUILD [--assisted] -- COMMAND...   any command
#
# Checks of use and of synchronisation; --assisted adds the checks inside of shaders, which take
# far longer and need a layer of Vulkan 1.4 for kernels that read weights: what Debian 12's layer
# makes of those lavapipe refuses. Ends with 77 where the layer is not installed.
set -eu
[ $# -ge 2 ] || { echo "usage: under_layer.sh BUILD [--assisted] CTEST_REGEX | -- COMMAND..." >&2; exit 2; }
folder=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
found=
for path in /usr/share /usr/local/share /etc; do
    [ -f "$path/vulkan/explicit_layer.d/VkLayer_khronos_validation.json" ] && found=yes
done
[ -n "$found" ] || { echo "the validation layer is not installed (vulkan-validationlayers)"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" = --assisted ]; then
    shift
    cp "$folder/vk_layer_settings.txt" "$work/"
    # The layer's checks make kernels so long that lavapipe's compiler takes minutes for one:
    # without its optimisations, and with short vectors, a tenth of that.
    export GALLIVM_PERF="${GALLIVM_PERF:-nopt}" LP_NATIVE_VECTOR_WIDTH="${LP_NATIVE_VECTOR_WIDTH:-128}"
else
    sed -e 's/^khronos_validation.enables.*/khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT/' \
        -e 's/^khronos_validation.gpuav_enable.*/khronos_validation.gpuav_enable = false/' \
        "$folder/vk_layer_settings.txt" >"$work/vk_layer_settings.txt"
fi
export VK_LAYER_SETTINGS_PATH="$work/vk_layer_settings.txt"
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
status=0
if [ "$1" = -- ]; then
    shift
    "$@" >"$work/output" 2>&1 || status=$?
else
    ctest --test-dir "$build" --timeout 6000 -V -R "$1" >"$work/output" 2>&1 || status=$?
fi
tail -n 12 "$work/output"
if grep -E 'Validation (Error|Warning|Performance)|VUID-|SYNC-HAZARD' "$work/output" | sort | uniq -c | head -n 20 |
    grep .; then
    echo "under_layer: the layer had something to say"
    exit 1
fi
echo "under_layer: not a word of the layer; the tests ended with $status"
exit $status
