#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that the Arm kernels of cpu-xnnpack execute, against the fewest they could.

Runs each kernel once and twice under qemu-user, which logs every instruction, and takes the
difference. "ideal" are the multiply-add instructions alone that the products need: 8 products in a
widening multiply (neon), 16 in sdot, 32 in smmla (16 for one row), 4 in an f32 fmla.

usage: aarch64_instructions.py [--build build/aarch64] [--types Q4_0,...] [--levels ...]
                               [--rows 1,4,64] [--k 512] [--columns 16] [--classes]
needs: aarch64-linux-gnu-gcc, qemu-aarch64-static, and the aarch64 preset built.
"""
import argparse
import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = {"neon": 8, "dotprod": 16, "i8mm": 32}
MULTIPLY_ADDS = ("sdot", "smmla", "smull", "smull2", "smlal", "smlal2", "fmla")
PLAIN = ("f32", "f16", "bf16")
CC = "aarch64-linux-gnu-gcc"


def link(build, folder):
    """The driver with all kernels, without shared libraries, at fixed addresses."""
    objects = sorted(map(str, build.glob("plugins/cpu-xnnpack/CMakeFiles/cpu_kernels.dir/**/*.o")))
    if not objects:
        sys.exit(f"no kernels in {build}: build the aarch64 preset first")
    program = folder / "aarch64_instructions"
    kernels = ROOT / "plugins/cpu-xnnpack/kernels"
    subprocess.run([CC, "-std=gnu11", "-O2", "-static", "-no-pie", f"-I{kernels}",
                    f"-I{ROOT}/plugin-api", str(ROOT / "bench/aarch64_instructions.c"), *objects,
                    "-lm", "-o", str(program)], check=True)
    return program


def mnemonics(program):
    """address -> mnemonic, of the program's own code."""
    text = subprocess.run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(program)],
                          check=True, capture_output=True, text=True).stdout
    return {int(address, 16): name
            for address, name in re.findall(r"^ *([0-9a-f]+):\t(\S+)", text, re.MULTILINE)}


def executed(program, names, level, kind, rows, columns, k, times):
    """mnemonic -> how often, in the whole run."""
    with tempfile.NamedTemporaryFile() as log:
        subprocess.run(["qemu-aarch64-static", "-cpu", "max", "-singlestep", "-d", "exec,nochain",
                        "-D", log.name, str(program), level, kind, str(rows), str(columns), str(k),
                        str(times)], check=True)
        counts = collections.Counter()
        with open(log.name, encoding="ascii", errors="replace") as lines:
            for line in lines:
                found = re.match(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", line)
                if found:
                    counts[names.get(int(found[1], 16), "?")] += 1
        return counts


def count(program, names, level, kind, rows, columns, k):
    twice = executed(program, names, level, kind, rows, columns, k, 2)
    twice.subtract(executed(program, names, level, kind, rows, columns, k, 1))
    return +twice


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/aarch64")
    parser.add_argument("--types", default="Q4_0,Q8_0,Q4_K,Q6_K,f16,f32")
    parser.add_argument("--levels", default="neon,dotprod,i8mm")
    parser.add_argument("--rows", default="1,4,64")
    parser.add_argument("--k", type=int, default=512)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--classes", action="store_true", help="list what is executed most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = link(options.build, Path(folder))
        names = mnemonics(program)
        print("| level | type | rows | instructions per 32 products | multiply-adds | ideal | ratio |")
        print("|---|---|---|---|---|---|---|")
        for level in options.levels.split(","):
            for kind in options.types.split(","):
                for rows in map(int, options.rows.split(",")):
                    counts = count(program, names, level, kind, rows, options.columns, options.k)
                    blocks = rows * options.columns * options.k / 32
                    total = sum(counts.values()) / blocks
                    multiply = sum(counts[name] for name in MULTIPLY_ADDS) / blocks
                    width = 4 if kind in PLAIN else PRODUCTS[level]
                    ideal = 32 / (min(width, 16) if rows == 1 else width)
                    print(f"| {level} | {kind} | {rows} | {total:.2f} | {multiply:.2f} | "
                          f"{ideal:.0f} | {total / ideal:.2f} |", flush=True)
                    if options.classes:
                        print("  ", ", ".join(f"{name} {n / blocks:.2f}"
                                              for name, n in counts.most_common(14)))


if __name__ == "__main__":
    main()
