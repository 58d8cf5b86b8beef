#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints and checks the memory layout of every struct and the value of every constant of the ABI.

  layout.py --compiler cc --check plugin-api/abi/0.11-x86_64.txt
  layout.py --compiler aarch64-linux-gnu-gcc --emulator qemu-aarch64-static --check FILE
  layout.py --compiler cc --bless FILE      after a reviewed change of the header

The list of structs, fields and constants is read from sy_plugin.h itself, so none can be forgotten;
the compiler of the target lays them out. Exit status 77 means that a tool is missing.
"""
import argparse
import difflib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HEADER = pathlib.Path(__file__).resolve().parents[2] / "plugin-api" / "sy_plugin.h"
SKIP = 77


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def field_names(body):
    """Names of the members of a struct body, unions counted as one member."""
    body = re.sub(r"union\s*\{[^}]*\}", "int", body, flags=re.S)
    names = []
    for declaration in body.split(";"):
        declaration = " ".join(declaration.split())
        if not declaration:
            continue
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
        if pointer:
            names.append(pointer.group(1))
            continue
        for part in declaration.split(","):
            names.append(re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", part).group(1))
    return names


def structs(text):
    pattern = r"typedef struct (\w+) \{(.*?)\n\} \1;"
    return [(m.group(1), field_names(m.group(2))) for m in re.finditer(pattern, text, re.S)]


def constants(text):
    names = []
    for body in re.findall(r"enum\s*\{(.*?)\}", text, re.S):
        names += re.findall(r"(SY_\w+)\s*=", body)
    names += re.findall(r"#define (SY_[A-Z0-9_]+) (?!__attribute__|__declspec)\S", text)
    return sorted(set(names))


def program(text):
    lines = ['#include "sy_plugin.h"', "#include <stdio.h>", "int main(void) {"]
    for name, fields in structs(text):
        lines.append(f'    printf("struct {name} %zu\\n", sizeof({name}));')
        for field in fields:
            lines.append(f'    printf("  {field} %zu %zu\\n", offsetof({name}, {field}), '
                         f'sizeof((({name} *)0)->{field}));')
    for name in constants(text):
        lines.append(f'    printf("constant {name} %lld\\n", (long long)({name}));')
    return "\n".join(lines + ["    return 0;", "}", ""])


def layout(compiler, emulator):
    text = without_comments(HEADER.read_text())
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
        source.write_text(program(text))
        static = ["-static"] if emulator else []
        subprocess.run([compiler, "-std=c11", f"-I{HEADER.parent}", *static, str(source), "-o",
                        str(binary)], check=True)
        command = ([emulator] if emulator else []) + [str(binary)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--emulator", default="")
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--bless", type=pathlib.Path)
    options = parser.parse_args()
    for tool in (options.compiler, options.emulator):
        if tool and shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed")
            return SKIP
    found = layout(options.compiler, options.emulator)
    if options.bless:
        options.bless.write_text(found)
        return 0
    golden = options.check.read_text() if options.check.exists() else ""
    if found == golden:
        print(f"{found.count('struct ')} structs, {found.count('constant ')} constants as recorded")
        return 0
    sys.stdout.writelines(difflib.unified_diff(golden.splitlines(True), found.splitlines(True),
                                               str(options.check), "sy_plugin.h"))
    print("The ABI differs from its golden layout. Growth at the end of an open struct needs a new "
          "minor, its own golden file and a line in plugin-api/CHANGELOG.md (SYP-3).")
    return 1


if __name__ == "__main__":
    sys.exit(main())
