#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone, as C11 and C++17, with gcc and with clang where installed;
the plugin header also as C99, C17 and C++11, and without any other folder of ours in sight."""
import concurrent.futures
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLIC = [ROOT / part / "include" for part in ("core", "conf", "registry", "formats", "llm")]
PLUGIN_API = ROOT / "plugin-api"
WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fsyntax-only"]


def jobs(folder):
    """(what, command) of every compilation."""
    compilers = [("c", c) for c in ("gcc", "clang") if shutil.which(c)]
    compilers += [("c++", c) for c in ("g++", "clang++") if shutil.which(c)]
    standards = {"c": ["c11"], "c++": ["c++17"]}
    plugin_standards = {"c": ["c99", "c11", "c17"], "c++": ["c++11", "c++17"]}
    headers = [h for p in PUBLIC for h in sorted(p.glob("switchyard/*.h"))]
    for language, compiler in compilers:
        flags = [f"-I{p}" for p in PUBLIC + [PLUGIN_API] if p.is_dir()]
        for standard in plugin_standards[language]:
            for header in ("sy_plugin.h", "sy_profile.h"):
                yield command(folder, compiler, language, standard, header, [f"-I{PLUGIN_API}"])
        for header in headers:
            for standard in standards[language]:
                yield command(folder, compiler, language, standard, "switchyard/" + header.name,
                              flags)


def command(folder, compiler, language, standard, header, flags):
    name = header.replace("/", "_") + (".c" if language == "c" else ".cpp")
    source = Path(folder) / name
    source.write_text(f"#include <{header}>\nextern int not_empty;\n")
    return (f"{compiler} -std={standard} {header}",
            [compiler, f"-std={standard}", "-x", language, *WARNINGS, *flags, str(source)])


def run(job):
    what, arguments = job
    answer = subprocess.run(arguments, capture_output=True, text=True)
    return what, answer.returncode, answer.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        todo = list(jobs(folder))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(run, todo))
    wrong = [r for r in results if r[1] != 0]
    for what, _, text in wrong:
        print(f"FAILED {what}\n{text}")
    print(f"headers: {len(results) - len(wrong)} compilations passed, {len(wrong)} failed")
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main())
