#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the whole tree and prints every breach of the house rules as path:line: rule: why.

usage: tidy.py [ROOT] [--rule NAME]...      exit status 1 when anything was found
"""
import argparse
import sys
from pathlib import Path

import rules_code
import rules_text
import tree

HERE = Path(__file__).resolve().parent


def rules(root, exceptions):
    return {
        "include-matrix": rules_code.include_matrix,
        "banned-call": rules_code.banned_calls,
        "size": lambda files: rules_code.sizes_with_exceptions(files, exceptions),
        "doc-keys": rules_code.doc_keys,
        "example": rules_code.examples,
        "unreachable": rules_code.reachable,
        "spdx": rules_text.spdx,
        "ascii": rules_text.ascii_only,
        "dead-link": lambda files: rules_text.dead_links(files, root),
        "open-mark": rules_text.open_marks,
        "glossary": rules_text.glossary,
        "machine-name": rules_text.machine_names,
    }


def check(root, exceptions, names=None):
    files = tree.load(root)
    for name, rule in rules(root, exceptions).items():
        if names and name not in names:
            continue
        for path, line, why in rule(files):
            yield path, line, name, why


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", default=HERE.parent.parent, type=Path)
    parser.add_argument("--rule", action="append")
    arguments = parser.parse_args()
    listed = HERE / "exceptions.txt"
    exceptions = rules_code.read_exceptions(listed.read_text()) if listed.exists() else {}
    found = list(check(arguments.root, exceptions, arguments.rule))
    for path, line, name, why in found:
        print(f"{path}:{line}: {name}: {why}")
    print(f"tidy: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
