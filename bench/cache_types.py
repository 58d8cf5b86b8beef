#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each element type of cached keys and values costs in accuracy: KL divergence of the logits from those of an
f32 cache, on a trained model over a text. Prints a Markdown table."""
import argparse
import pathlib
import subprocess

import numpy as np

BITS = {"f32": 32, "f16": 16, "bf16": 16, "Q8_0": 8.5, "Q4_0": 4.5}
PAIRS = [("f16", "f16"), ("bf16", "bf16"), ("Q8_0", "f16"), ("f16", "Q8_0"), ("Q8_0", "Q8_0"), ("Q4_0", "f16"),
         ("f16", "Q4_0"), ("Q8_0", "Q4_0"), ("Q4_0", "Q8_0"), ("Q4_0", "Q4_0")]


def token_ids(build, model, text, n_most, by_line):
    """The text's ids in pieces: lines, or what the model was made for."""
    pieces = text.read_text().splitlines() if by_line else [text.read_text()]
    lists = []
    for piece in pieces:
        listing = subprocess.run([build / "bin/switchyard", "tokenize", model, "--file", "-", "--ids",
                                  "--parse-special"], check=True, capture_output=True, text=True, input=piece)
        ids = [int(word) for word in listing.stdout.replace(",", " ").strip("[] \n").split()]
        lists += [ids[i:i + n_most] for i in range(0, len(ids), n_most)]
    return lists


def logits(build, model, types, ids):
    """The log-probabilities after every token, one at a time as they are decoded."""
    command = [build / "bin/logits_dump", model, types, "1", "--plugins", build / "plugins", "--", *map(str, ids)]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    rows = np.frombuffer(raw, np.float32).reshape(len(ids), -1).astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--context", type=int, default=512, help="tokens that the model was made for")
    parser.add_argument("--lines", action="store_true", help="every line is a text of its own")
    arguments = parser.parse_args()
    pieces = token_ids(arguments.build, arguments.model, arguments.text, arguments.context,
                       arguments.lines)
    exact = np.concatenate([logits(arguments.build, arguments.model, "f32", ids) for ids in pieces])
    print(f"{arguments.model.name}, {len(exact)} tokens\n")
    print("| keys | values | bits an element | mean KL, nats | worst KL | same likeliest token |")
    print("|---|---|---|---|---|---|")
    for keys, values in PAIRS:
        found = np.concatenate([logits(arguments.build, arguments.model, f"{keys}/{values}", ids) for ids in pieces])
        divergence = (np.exp(exact) * (exact - found)).sum(axis=1)
        same = (exact.argmax(axis=1) == found.argmax(axis=1)).mean()
        print(f"| {keys} | {values} | {(BITS[keys] + BITS[values]) / 2:g} | {divergence.mean():.2g} | "
              f"{divergence.max():.2g} | {100 * same:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
