#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Growth of the ABI in both directions: hosts and plugins built from sy_plugin.h as it is, from the
frozen headers of released minors (plugin-api/abi/sy_plugin-*.h), and from a header as the next minor
and the next major could be, each host with each plugin.

  growth_test.py PLUGIN_API CC
"""
import pathlib
import re
import subprocess
import sys
import tempfile

API, CC = pathlib.Path(sys.argv[1]), sys.argv[2]
HERE = pathlib.Path(__file__).resolve().parent
FIRST_MINOR = 9  # of major 0; older ones were never released
GROWN_STRUCTS = {"sy_device_info": "uint64_t grown;", "sy_health": "uint64_t grown;",
                 "sy_job": "uint64_t grown;",
                 "sy_plugin": "sy_status (*grown)(sy_device *device, sy_health *out_health);"}


def number(text, name):
    return int(re.search(rf"#define {name} (\d+)u", text).group(1))


def with_number(text, name, value):
    return re.sub(rf"#define {name} \d+u", f"#define {name} {value}u", text)


def next_minor(text):
    """The header with one more field at the end of four open structs."""
    for struct, field in GROWN_STRUCTS.items():
        text, n = re.subn(rf"\n}} {struct};", f"\n    {field}\n}} {struct};", text)
        assert n == 1, struct
    return with_number(text, "SY_ABI_MINOR", number(text, "SY_ABI_MINOR") + 1)


def compile_one(folder, header, source, output, *flags):
    include = folder / f"include-{output}"
    include.mkdir()
    (include / "sy_plugin.h").write_text(header)
    subprocess.run([CC, "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{include}", *flags,
                    str(HERE / source), "-o", str(folder / output), "-ldl"], check=True)
    return folder / output


def plugin(folder, name, header, *flags):
    return compile_one(folder, header, "growth_plugin.c", name + ".so", "-shared", "-fPIC",
                       "-fvisibility=hidden", *flags)


def seen(host, plugin_path):
    done = subprocess.run([str(host), str(plugin_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (host.name, plugin_path.name, done.stdout, done.stderr)
    return done.stdout


class Checks:
    def __init__(self):
        self.n, self.problems = 0, []

    def expect(self, what, text, *wanted, absent=("trampled",)):
        self.n += 1
        missing = [line for line in wanted if line not in text.splitlines()]
        found = [word for word in absent if word in text]
        if missing or found:
            self.problems.append(f"{what}: lacks {missing}, has {found}\n{text}")


WORKS = ["job: status 0", "job with an extension: status 0", "job with a must extension: status 12"]


def worked(minor, grown, job):
    return [f"table 0.{minor}", f"device dev0 grown {grown}", f"device dev1 grown {grown}",
            f"health epoch 7 grown {grown}", f"report 0: run 41 grown {job}", *WORKS]


def main():
    text = (API / "sy_plugin.h").read_text()
    minor, major = number(text, "SY_ABI_MINOR"), number(text, "SY_ABI_MAJOR")
    newer = next_minor(text)
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        today = compile_one(folder, text, "growth_host.c", "host-today")
        later = compile_one(folder, newer, "growth_host.c", "host-later", "-DNEWER")
        major_host = compile_one(folder, with_number(text, "SY_ABI_MAJOR", major + 1),
                                 "growth_host.c", "host-major")
        released = {f"{major}.{minor}": text}
        for old in range(FIRST_MINOR, minor):
            released[f"{major}.{old}"] = (API / "abi" / f"sy_plugin-{major}.{old}.h").read_text()
        for version, header in released.items():
            old = plugin(folder, f"released-{version}", header)
            old_minor = int(version.split(".")[1])
            checks.expect(f"host of today, plugin of {version}", seen(today, old),
                          *worked(old_minor, 0, 0))
            checks.expect(f"later host, plugin of {version}", seen(later, old),
                          *worked(old_minor, 0, 0), "grown function absent")
            checks.expect(f"next major, plugin of {version}", seen(major_host, old), "no table",
                          "report 12: this plugin needs a newer host", absent=("table 0",))
        new = plugin(folder, "newer", newer, "-DNEWER")
        checks.expect("host of today, newer plugin steps down", seen(today, new),
                      *worked(minor, 0, 0))
        checks.expect("later host, newer plugin", seen(later, new),
                      *worked(minor + 1, "600d", "beef"), "grown function there")
        needs = plugin(folder, "needs", newer, "-DNEWER", "-DNEEDS")
        checks.expect("host of today, plugin that needs more", seen(today, needs), "no table",
                      "report 12: this plugin needs a newer host", absent=("device",))
        stubborn = plugin(folder, "stubborn", newer, "-DNEWER", "-DSTUBBORN")
        checks.expect("host of today, plugin that does not negotiate", seen(today, stubborn),
                      f"refused: it speaks ABI {major}.{minor + 1}, this host {major}.{minor}",
                      absent=("device",))
        other = plugin(folder, "major", with_number(text, "SY_ABI_MAJOR", major + 1), "-DSTUBBORN")
        checks.expect("host of today, plugin of the next major", seen(today, other),
                      f"refused: it speaks ABI {major + 1}.{minor}, this host {major}.{minor}",
                      absent=("device",))
    for problem in checks.problems:
        print(problem)
    print(f"{checks.n} pairs of host and plugin, {len(checks.problems)} problems")
    return 1 if checks.problems else 0


if __name__ == "__main__":
    sys.exit(main())
