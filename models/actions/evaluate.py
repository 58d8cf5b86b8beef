#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exact calls per function, over the C runtime or over the checkpoint.

    python3 evaluate.py --data handwritten.jsonl                      # build/release/bin/switchyard, shipped model
    python3 evaluate.py --split test --n 1000                         # fresh requests of the held-out split
    python3 evaluate.py --data handwritten.jsonl --engine torch --work DIR

A call is right when the printed line equals the expected line, character for character.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from generate import Generator, call_line

HERE = os.path.dirname(os.path.abspath(__file__))


def read_examples(a):
    if a.data:
        with open(a.data, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.strip()]
    generator = Generator(a.split, a.seed)
    return [generator.example() for _ in range(a.n)]


def run_switchyard(a, arguments):
    """The lines printed, or one line that says what went wrong, which counts as a wrong answer."""
    done = subprocess.run([a.switchyard, "run", a.model, "--temp", "0"] + arguments, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode != 0:
        return [f"exit status {done.returncode}: {done.stderr.strip()[-200:]}"]
    return done.stdout.removesuffix("\n").split("\n")


def ask_switchyard(a, examples):
    """One process for all requests that are a line of text, one for each other request (or for each with --each)."""
    requests = [e["request"] for e in examples]
    together = [] if a.each else [i for i, r in enumerate(requests) if r.strip() and "\n" not in r]
    answers = {}
    if together:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as f:
            f.write("".join(requests[i] + "\n" for i in together))
            f.flush()
            lines = run_switchyard(a, ["--requests-file", f.name])
        if len(lines) != len(together):
            sys.exit(f"{len(together)} requests, {len(lines)} lines back: {lines[0]}")
        answers = dict(zip(together, lines))
    alone = [i for i in range(len(requests)) if i not in answers]
    with ThreadPoolExecutor(a.jobs) as pool:
        answers.update(zip(alone, pool.map(lambda i: "\n".join(run_switchyard(a, [requests[i]])), alone)))
    return [answers[i] for i in range(len(requests))]


def ask_torch(a, examples):
    import torch
    from model import Llama, Shape
    from tokenizer import EOS, Tokenizer
    state = torch.load(os.path.join(a.work, "last.pt"), weights_only=True)
    tokenizer = Tokenizer.load(os.path.join(a.work, "vocab.json"))
    model = Llama(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    torch.set_num_threads(a.jobs)
    answers = []
    for example in examples:
        tokens = tokenizer.prompt(example["request"])
        start = len(tokens)
        with torch.no_grad():
            while len(tokens) < model.shape.context:
                best = int(model(torch.tensor([tokens]))[0, -1].argmax())
                if best == EOS:
                    break
                tokens.append(best)
        answers.append(tokenizer.decode(tokens[start:]))
    return answers


def report(examples, answers, show):
    right, total = {}, {}
    for example, answer in zip(examples, answers):
        name, wanted = example["call"]["name"], call_line(example["call"])
        total[name] = total.get(name, 0) + 1
        right[name] = right.get(name, 0) + (answer == wanted)
        if show and answer != wanted:
            print(f"  {example['request']!r}\n    wanted {wanted}\n    got    {answer}")
    for name in sorted(total):
        print(f"{name:16} {right[name]:5} of {total[name]:5}  {100 * right[name] / total[name]:5.1f} %")
    whole, count = sum(right.values()), sum(total.values())
    print(f"{'all':16} {whole:5} of {count:5}  {100 * whole / count:5.1f} %")
    return whole / count


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", help="JSON lines with request and call; without it requests are generated")
    ap.add_argument("--split", choices=("train", "test"), default="test")
    ap.add_argument("--n", type=int, default=500)
    ap.add_argument("--seed", type=int, default=2)
    ap.add_argument("--engine", choices=("switchyard", "torch"), default="switchyard")
    ap.add_argument("--switchyard", default=os.path.join(HERE, "../../build/release/bin/switchyard"))
    ap.add_argument("--model", default=os.path.join(HERE, "actions-q8_0.gguf"))
    ap.add_argument("--work", help="folder of train.py, for --engine torch")
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--each", action="store_true", help="one process per request")
    ap.add_argument("--show", action="store_true", help="print the wrong answers")
    ap.add_argument("--at-least", type=float, default=0.0, help="exit with 1 below this share")
    a = ap.parse_args()
    examples = read_examples(a)
    answers = ask_torch(a, examples) if a.engine == "torch" else ask_switchyard(a, examples)
    share = report(examples, answers, a.show)
    sys.exit(0 if share >= a.at_least else 1)


if __name__ == "__main__":
    main()
