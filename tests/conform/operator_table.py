# SPDX-License-Identifier: Apache-2.0
"""Writes plugins/gpu/OPERATORS.md: which operators the GPU delegates run in which types, as they
answer to the cases of the conformance check.

    python3 tests/conform/operator_table.py BUILD [--check]

With --check nothing is written: exit 1 where the page is another one, 77 where a delegate is not built
or has no device."""
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).parents[2] / "plugins" / "gpu" / "OPERATORS.md"
DELEGATES = ("gpu-vulkan", "gpu-opencl")
HEAD = """# Operators of the GPU delegates

Written by `tests/conform/operator_table.py` from what each delegate answers to the cases of `switchyard conform`, which
compares every "yes" with the reference (level 2). The types are those of the cases: of the weight where there is one.
"2 of 3": so many cases run; the last column has the delegate's reason for the first that does not.

| operator | gpu-vulkan | gpu-opencl | does not run |
|---|---|---|---|
"""


SKIPPED = 77


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def answers(build, delegate):
    """{operator: {type: (cases that run, cases, reason)}}"""
    plugin = build / "plugins" / delegate / f"{delegate}.so"
    if not plugin.exists():
        skip(f"{delegate} is not built here")
    done = subprocess.run([build / "bin" / "operator_table", plugin, "software=on"], capture_output=True,
                          text=True)
    if done.returncode == SKIPPED:
        skip(done.stderr)
    done.check_returncode()
    found = {}
    for line in done.stdout.splitlines():
        name, type_name, n_yes, n_no, why = line.split("\t")
        found.setdefault(name, {})[type_name] = (int(n_yes), int(n_yes) + int(n_no), why)
    return found


def types_that_run(types):
    run = [name if n_yes == n else f"{name} ({n_yes} of {n})"
           for name, (n_yes, n, _) in types.items() if n_yes > 0]
    return ", ".join(run) or "-"


def reasons(types):
    """Types with one reason stand together."""
    found = {}
    for name, (n_yes, n, why) in types.items():
        if n_yes < n:
            found.setdefault(re.sub(" of type .*", " of this type", why), []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in found.items())


def page(build):
    vulkan, opencl = (answers(build, delegate) for delegate in DELEGATES)
    assert list(vulkan) == list(opencl)
    rows = []
    for name, types in vulkan.items():
        merged = {t: types[t] if types[t][0] < types[t][1] else opencl[name][t] for t in types}
        rows.append(f"| `{name}` | {types_that_run(types)} | {types_that_run(opencl[name])} | "
                    f"{reasons(merged)} |\n")
    return HEAD + "".join(rows)


def main():
    text = page(pathlib.Path(sys.argv[1]))
    if "--check" not in sys.argv[2:]:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit(f"{PAGE} is not what the delegates answer: write it anew")


if __name__ == "__main__":
    main()
