#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an importance matrix gains: a trained model writes two texts, one is measured, on the other the logits of
quantised files are compared with those of the model itself. Prints a Markdown table."""
import argparse
import pathlib
import subprocess
import tempfile

import gguf
import numpy as np

import cache_types
import measures


def stories(build, model, prompt, n_tokens, seeds):
    """What the model says at temperature 1, one story for each seed."""
    command = [build / "bin/switchyard", "run", model, "--prompt", prompt, "--raw", "--quiet", "--temp", "1",
               "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", n_tokens, "--seed"]
    return [subprocess.run(list(map(str, command + [seed])), check=True, capture_output=True, text=True).stdout
            for seed in seeds]


def quantized(build, model, out, kind, *flags):
    subprocess.run([build / "bin/switchyard", "quantize", model, out, "--type", kind, "--pure", "--quiet", *flags],
                   check=True, capture_output=True)
    return out


def measured(build, model, text, out):
    subprocess.run([build / "bin/switchyard", "imatrix", model, "--text", text, "--out", out, "--quiet"], check=True,
                   capture_output=True)
    return out


def weighed_error(model, path, imatrix):
    """Root mean square error of the weights over that of the weights, columns counted by their importance."""
    exact, found, sums = ({t.name: t for t in gguf.GGUFReader(p).tensors} for p in (model, path, imatrix))
    errors = squares = 0.0
    for name, tensor in found.items():
        if tensor.tensor_type.name != "F32" and f"{name}.in_sum2" in sums:
            weights = np.array(exact[name].data, np.float64)
            means = sums[f"{name}.in_sum2"].data / sums[f"{name}.counts"].data.reshape(-1, 1)
            rows = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(weights.shape)
            errors += float((means * (weights - rows) ** 2).sum())
            squares += float((means * weights ** 2).sum())
    return (errors / squares) ** 0.5


def compare(build, model, kinds, texts, folder):
    """(type, KL without, KL with) over the texts that were not measured, error without, error with, tokens."""
    (folder / "measured.txt").write_text("\n".join(texts[0]))
    imatrix = measured(build, model, folder / "measured.txt", folder / "imatrix.gguf")
    pieces = []
    for i, text in enumerate(texts[1]):
        (folder / "other.txt").write_text(text)
        pieces += cache_types.token_ids(build, model, folder / "other.txt", 512, False)
    exact = [cache_types.logits(build, model, "f32", ids) for ids in pieces]
    for kind in kinds:
        found, errors = [], []
        for flags in ([], ["--imatrix", imatrix]):
            path = quantized(build, model, folder / "out.gguf", kind, *flags)
            rows = [cache_types.logits(build, path, "f32", ids) for ids in pieces]
            found.append(measures.divergence(np.concatenate(exact), np.concatenate(rows))[0])
            errors.append(weighed_error(model, path, imatrix))
        yield kind, *found, *errors, sum(map(len, pieces))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path, help="in f32, f16 or bf16")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--tokens", type=int, default=400, help="of one text")
    parser.add_argument("--texts", type=int, nargs=2, default=(40, 6), help="to measure, to compare on")
    parser.add_argument("--types", default="Q4_0,Q4_1,Q5_0,Q5_1,IQ4_NL,MXFP4,Q8_0")
    arguments = parser.parse_args()
    n = arguments.texts
    texts = [stories(arguments.build, arguments.model, arguments.prompt, arguments.tokens, seeds)
             for seeds in (range(1, n[0] + 1), range(1000, 1000 + n[1]))]
    print("| type | mean KL, nats | weighed | ratio | weighed error | weighed | ratio |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(arguments.build, arguments.model, arguments.types.split(","), texts, pathlib.Path(folder))
        for kind, plain, weighed, error, less, n_tokens in rows:
            print(f"| {kind} | {plain:.4g} | {weighed:.4g} | {weighed / plain:.3f} | {error:.4f} | {less:.4f} | "
                  f"{less / error:.3f} |", flush=True)
    print(f"\n{n_tokens} tokens in {n[1]} texts that were not measured")


if __name__ == "__main__":
    main()
