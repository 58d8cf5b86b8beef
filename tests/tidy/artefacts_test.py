#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the build made, read from its ELF tables: every plugin exports exactly sy_plugin_entry and
needs no symbol of ours; nothing has an executable stack, text relocations or a writable GOT.

usage: artefacts_test.py BUILD_DIR
"""
import re
import subprocess
import sys
from pathlib import Path


def output(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def plugin_breaches(path):
    exported = [line.split()[-1] for line in output("nm", "-D", "--defined-only", path).splitlines()]
    exported = [name for name in exported if not re.match(r"(__asan|__ubsan|__tsan|__sanitizer)", name)]
    if exported != ["sy_plugin_entry"]:
        yield f"exports {exported}, not sy_plugin_entry alone"
    undefined = [line.split()[-1] for line in output("nm", "-D", "--undefined-only", path).splitlines()]
    ours = [name for name in undefined if re.match(r"sy_", name)]
    if ours:
        yield f"needs symbols of the host: {ours}"


def hardening_breaches(path):
    headers = output("readelf", "-lW", path)
    dynamic = output("readelf", "-dW", path)
    stack = [line for line in headers.splitlines() if "GNU_STACK" in line]
    if not stack or " RWE" in stack[0]:
        yield "has an executable stack"
    if "GNU_RELRO" not in headers:
        yield "has no RELRO"
    if "BIND_NOW" not in dynamic and "NOW" not in dynamic:
        yield "binds lazily"
    if "TEXTREL" in dynamic:
        yield "has text relocations"
    if re.search(r"RPATH|RUNPATH", dynamic):
        yield "has a run path"
    if "DYN" not in output("readelf", "-hW", path):
        yield "is not position independent"


def main():
    build = Path(sys.argv[1])
    plugins = sorted((build / "plugins").glob("*/*.so"))
    programs = [p for p in [build / "bin/switchyard"] if p.exists()]
    wrong = 0
    for path in plugins + programs:
        breaches = list(hardening_breaches(path))
        breaches += plugin_breaches(path) if path in plugins else []
        for why in breaches:
            print(f"{path}: {why}")
        wrong += len(breaches)
    print(f"artefacts: {len(plugins)} plugins, {len(programs)} programs, {wrong} findings")
    if not plugins and not programs:
        print("skipped: this build has neither plugins nor the program")
        return 77
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
