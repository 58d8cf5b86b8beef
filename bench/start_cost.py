#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time to the first token goes: runs `switchyard run MODEL --timings` some times, prints the least of each part.

usage: start_cost.py --switchyard build/release MODEL...     [--runs 7] [--context 2048] [--json]
"before main" and "after the text" are what the process took beside the verb: the loader, the plugin's libraries at exit.
"peak" is the highest resident set of a run, "anonymous" the most of it that no file holds.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import measures

PROMPT = "The quick brown fox jumps over the lazy dog and runs far away into the"
PART = re.compile(r"^(.+?)\s+([0-9.]+) ms$")


def run_once(program, model, context):
    """Parts of one run in ms, by name."""
    command = [program, "run", model, PROMPT, "--raw", "-c", str(context), "-n", "1", "--timings", "--quiet"]
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        said = []
        reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
        reader.start()
        first = os.read(process.stdout.fileno(), 1)
        took = 1e3 * (time.monotonic() - start)
        process.stdout.read()
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        end = 1e3 * (time.monotonic() - start)
    if process.returncode != 0:
        raise RuntimeError(said[0].decode(errors="replace").strip())
    parts = {m[1]: float(m[2]) for m in map(PART.match, said[0].decode(errors="replace").splitlines()) if m}
    if first and "verb to first text" in parts:
        parts["before main"] = took - parts["verb to first text"]
        parts["process start to first text"] = took
        parts["after the text"] = end - took
    parts["peak MiB"] = usage.ru_maxrss / 1024
    return parts


def least(program, model, context, runs):
    """The least of each part over some runs, in the order in which they are printed."""
    best = {}
    for _ in range(runs):
        for name, value in run_once(program, model, context).items():
            best[name] = min(best.get(name, value), value)
    best["anonymous MiB"] = measures.peak_memory([program, "run", model, PROMPT, "--raw", "-c", str(context), "-n", "1"])["anon"]
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--switchyard", default="build/release", help="build or install folder, or the program")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    program = Path(arguments.switchyard)
    program = program / "bin" / "switchyard" if program.is_dir() else program
    table = {}
    for model in arguments.models:
        measures.read_into_cache(model)
        table[Path(model).stem] = least(str(program), model, arguments.context, arguments.runs)
    if arguments.json:
        json.dump(table, sys.stdout, indent=1)
        print()
        return 0
    names = list(dict.fromkeys(name for parts in table.values() for name in parts))
    width = max(len(name) for name in names)
    print(" " * width, *(f"{model:>20}" for model in table))
    for name in names:
        print(f"{name:{width}}", *(f"{parts.get(name, float('nan')):20.2f}" for parts in table.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
