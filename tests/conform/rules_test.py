#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RULES.md: numbers run without a gap, every test that it names exists, every check is named there."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def checks_of_kit():
    found = set()
    for file in sorted((ROOT / "plugin-api" / "conform").glob("*.c")):
        found |= set(re.findall(r'"(L[0-6]\.[a-z_]+)"', file.read_text()))
    return found


def names_of_tests():
    """Names that CMake files of tests register, with the prefix of functions that add one."""
    found = set()
    for file in sorted((ROOT / "tests").rglob("CMakeLists.txt")):
        text = file.read_text()
        found |= set(re.findall(r"(?:add_test\(NAME|sy_add_test\(|sy_add_script_test\()\s*(\w+)", text))
    return found


def main():
    text = (ROOT / "plugin-api" / "RULES.md").read_text()
    rows = re.findall(r"^\| SYP-(\d+) \|(.*)\|$", text, re.M)
    problems = []
    numbers = [int(number) for number, _ in rows]
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f"rules are numbered {numbers}")
    known = checks_of_kit() | names_of_tests()
    named = set()
    for number, row in rows:
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) != 4 or not all(cells):
            problems.append(f"SYP-{number} has {len(cells)} cells")
            continue
        if cells[2] not in ("yes", "partly", "no"):
            problems.append(f"SYP-{number}: host is {cells[2]}")
        named |= set(cells[3].split())
        problems += [f"SYP-{number}: there is no {test}" for test in cells[3].split()
                     if test not in known]
    problems += [f"{check} stands for no rule" for check in sorted(checks_of_kit() - named)]
    cited = set()
    for file in [ROOT / "plugin-api" / "sy_plugin.h", *(ROOT / "plugin-api" / "template").glob("*.[ch]")]:
        cited |= {int(n) for n in re.findall(r"SYP-(\d+)", file.read_text())}
    problems += [f"SYP-{n} is cited and not written" for n in sorted(cited - set(numbers))]
    for problem in problems:
        print(problem)
    print(f"{len(rows)} rules, {len(named)} tests named, {len(problems)} problems")
    return 1 if problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
