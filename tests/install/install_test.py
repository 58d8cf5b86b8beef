#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs into a fresh prefix, moves it, and builds and runs a program against it: with
pkg-config, with find_package, and a delegate that finds "sy_plugin.h".

usage: install_test.py BUILD_DIR
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run(*command, **options):
    print("+", " ".join(str(c) for c in command), flush=True)
    return subprocess.run([str(c) for c in command], check=True, text=True, **options)


def with_pkg_config(prefix, folder):
    found = list(prefix.rglob("switchyard.pc"))
    assert len(found) == 1, found
    environment = {**os.environ, "PKG_CONFIG_PATH": str(found[0].parent)}
    flags = run("pkg-config", "--cflags", "--libs", "switchyard", env=environment,
                stdout=subprocess.PIPE).stdout.split()
    assert str(ROOT) not in " ".join(flags), flags
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", HERE / "example.c", "-o",
        folder / "by-pkg-config", *flags)
    run(folder / "by-pkg-config")
    for name in ("executor", "hello"):  # every part of the archive has to link
        source = ROOT / "docs/examples" / f"{name}.c"
        run("cc", "-std=c11", source, "-o", folder / name, *flags)
    run(folder / "executor")


def with_find_package(prefix, folder):
    source = folder / "consumer"
    source.mkdir()
    shutil.copy(HERE / "consumer.cmake", source / "CMakeLists.txt")
    shutil.copy(HERE / "example.c", source)
    run("cmake", "-S", source, "-B", source / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
        stdout=subprocess.DEVNULL)
    run("cmake", "--build", source / "build", stdout=subprocess.DEVNULL)
    run(source / "build/example")


def with_the_plugin_header(prefix, folder):
    source = folder / "plugin.c"
    source.write_text('#include "sy_plugin.h"\nSY_PLUGIN_EXPORT const sy_plugin *sy_plugin_entry('
                      "uint32_t host_abi, const sy_host *host) {\n    (void)host_abi;\n"
                      "    (void)host;\n    return NULL;\n}\n")
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-z,defs",
        f"-I{prefix}/include", source, "-o", folder / "plugin.so")


def with_the_program(build, prefix):
    if not (build / "bin/switchyard").exists():
        print("no program in this build")
        return
    run(prefix / "bin/switchyard", "--version")
    for built in sorted((ROOT / "plugins").glob("*/plugin.ini")):
        name = built.parent.name
        if (build / "plugins" / name / f"{name}.so").exists():
            assert (prefix / "lib/switchyard/plugins" / name / f"{name}.so").exists(), name
            assert (prefix / "lib/switchyard/plugins" / name / "plugin.ini").exists(), name
    listed = run(prefix / "bin/switchyard", "delegates", stdout=subprocess.PIPE).stdout
    print(listed)
    for plugin in sorted((prefix / "lib/switchyard/plugins").glob("*")):
        assert plugin.name in listed, f"{plugin.name} is not listed"


def main():
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        run("cmake", "--install", build, "--prefix", folder / "first", stdout=subprocess.DEVNULL)
        prefix = folder / "moved"
        (folder / "first").rename(prefix)
        with_pkg_config(prefix, folder)
        with_find_package(prefix, folder)
        with_the_plugin_header(prefix, folder)
        with_the_program(build, prefix)
    print("install: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
