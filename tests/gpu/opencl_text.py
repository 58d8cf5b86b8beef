#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every kernel as OpenCL C, in each build that a device may ask for: this machine's OpenCL may lack
subgroups, numbers of 16 bits or images, and then its compiler never sees those lines.

  opencl_text.py KERNEL_FOLDER        needs clang; ends with 77 without it
"""
import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(sys.argv[1])
# Some code is for Vulkan alone; constants of a pipeline make odd conditions.
VULKAN_ALONE = {"linear_matrices"}
QUIET = ["-Wno-constant-logical-operand", "-Wno-division-by-zero", "-Wno-unused", "-Wno-unknown-pragmas"]
EXTENSIONS = "-cl-ext=+cl_khr_fp16,+cl_khr_subgroups,+__opencl_c_subgroups"
BUILDS = {  # language, definitions, S15
    "plain": ("CL1.2", [], "1u"),
    "subgroups": ("CL3.0", ["-DSUBGROUPS"], "1u"),
    "halves": ("CL1.2", ["-DNATIVE_HALVES"], "1u"),
    "images": ("CL1.2", [], "2u"),
    "all of it": ("CL3.0", ["-DSUBGROUPS", "-DNATIVE_HALVES"], "2u"),
}


def main():
    clang = shutil.which("clang")
    if clang is None:
        print("no clang here")
        return 77
    n_failed = n_compiled = 0
    for kernel in sorted(FOLDER.glob("*.kernel")):
        if kernel.stem in VULKAN_ALONE:
            continue
        for build, (language, definitions, texels) in BUILDS.items():
            constants = ["-DS0=64u", *(f"-DS{i}=1u" for i in range(1, 15)), f"-DS15={texels}"]
            found = subprocess.run([clang, "-x", "cl", f"-cl-std={language}", "-target", "spir64", "-Xclang", EXTENSIONS,
                                    "-Xclang", "-finclude-default-header", "-fsyntax-only", "-Wall", "-Werror", *QUIET,
                                    *constants, *definitions, "-I", FOLDER, kernel], capture_output=True, text=True)
            n_compiled += 1
            if found.returncode != 0:
                n_failed += 1
                print(f"{kernel.name}, {build}:\n{found.stderr}")
    print(f"{n_compiled} compiled, {n_failed} of them failed")
    return 1 if n_failed or not n_compiled else 0


if __name__ == "__main__":
    sys.exit(main())
