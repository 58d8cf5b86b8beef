#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All C code looks as .clang-format says (clang-format 14). Exit status 77: not installed."""
import shutil
import subprocess
import sys
from pathlib import Path

import tree

ROOT = Path(__file__).resolve().parent.parent.parent


def find_program():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True)
            if "version 14." in version.stdout:
                return path
    return None


def main():
    program = find_program()
    if program is None:
        print("skipped: clang-format 14 is not installed (Debian 12: apt-get install clang-format)")
        return 77
    paths = [p for p in tree.list_paths(ROOT)
             if p.endswith((".c", ".h", ".cpp")) and "/generated/" not in p]
    answer = subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=1", *paths], cwd=ROOT,
                            capture_output=True, text=True)
    wrong = [line for line in answer.stderr.split("\n") if " error: " in line]
    for line in wrong:
        print(line)
    print(f"format: {len(wrong)} of {len(paths)} files differ; "
          "run: clang-format -i FILE")
    return 1 if answer.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
