#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What requests gain from shared steps, and what guesses gain: runs `switchyard run` in turns, prints medians of the turns.

usage: together.py --switchyard build/release MODEL...     [--sessions 2,4,8] [--draft MODEL] [--tokens 32] [--runs 5] [--json]
Sessions: N prompts of about 12 tokens answered at once (--parallel N), generated tokens a second of all of them, prompts
included, as a factor of one alone. Guesses: one prompt that repeats itself, decoded plainly, with --lookup and with --draft.
The models' answers are checked to be the same every way. Weights are read into the page cache first.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measures

LINE = "The first thing to know about number {} is that\n"
REPEATING = "A red ball, a blue ball, a green ball. " * 6
TOGETHER = re.compile(r"([0-9.]+) tokens/s together")
ALONE = re.compile(r"generated \d+ tokens, ([0-9.]+) tokens/s")


def run(program, model, *flags):
    """Standard output and tokens a second of one run."""
    command = [str(program), "run", str(model), "--raw", "--ignore-eos", "-c", "512", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout, float((TOGETHER.search(done.stderr) or ALONE.search(done.stderr))[1])


def measure_sessions(program, model, sessions, n_tokens, runs):
    """Speed of one, and of each number of sessions, as medians; factors are medians of the turns' own."""
    speeds = {n: [] for n in (1, *sessions)}
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in speeds:
            Path(folder, str(n)).write_text("".join(LINE.format(i) for i in range(n)))
        for _ in range(runs):
            for n in speeds:
                text, speed = run(program, model, "--requests-file", Path(folder, str(n)), "--parallel", n, "-n", n_tokens)
                speeds[n].append(speed)
                if not text.startswith(answers.setdefault("first", text)):
                    raise RuntimeError(f"{n} sessions changed the first answer")
    return {str(n): {"tokens_per_s": statistics.median(s),
                     "factor": statistics.median(a / b for a, b in zip(s, speeds[1]))} for n, s in speeds.items()}


def measure_guesses(program, model, draft, n_tokens, runs):
    ways = {"plain": [], "lookup": ["--lookup"]}
    if draft is not None:
        ways["draft"] = ["--draft", draft]
    speeds = {way: [] for way in ways}
    texts = set()
    for _ in range(runs):
        for way, flags in ways.items():
            text, speed = run(program, model, REPEATING, "-n", n_tokens, *flags)
            speeds[way].append(speed)
            texts.add(text)
    if len(texts) != 1:
        raise RuntimeError("guesses changed the text")
    return {way: {"tokens_per_s": statistics.median(s),
                  "factor": statistics.median(a / b for a, b in zip(s, speeds["plain"]))} for way, s in speeds.items()}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--switchyard", default="build/release", help="build or install folder, or the program")
    parser.add_argument("--sessions", default="2,4,8")
    parser.add_argument("--draft")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(words)
    program = Path(arguments.switchyard)
    program = program / "bin" / "switchyard" if program.is_dir() else program
    sessions = [int(n) for n in arguments.sessions.split(",") if n]
    table = {}
    for model in arguments.models:
        measures.read_into_cache(model)
        table[Path(model).stem] = {
            "sessions": measure_sessions(program, model, sessions, arguments.tokens, arguments.runs),
            "guesses": measure_guesses(program, model, arguments.draft, arguments.tokens, arguments.runs)}
    if arguments.json:
        json.dump(table, sys.stdout, indent=1)
        print()
        return 0
    for model, kinds in table.items():
        for kind, rows in kinds.items():
            for name, row in rows.items():
                print(f"{model:24} {kind:9} {name:>7} {row['tokens_per_s']:10.1f} tokens/s {row['factor']:6.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
