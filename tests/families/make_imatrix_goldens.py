#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes goldens_imatrix.json: sums of squares of what the matrices of families.py's models read,
as transformers computes it in float64. Needs torch and transformers (5.23 wrote the file that is kept).

  python3 tests/families/make_imatrix_goldens.py
"""
import json
import pathlib

import torch
import transformers
from families import FAMILIES, TEXT_IDS
from make_goldens import model_of

MEASURED = ("llama", "qwen3moe")
DENSE = {"self_attn.q_proj": "attn_q", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
         "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp"}


def rounded(rows):
    return [[float(f"{x:.8g}") for x in row] for row in rows.tolist()]


def sums_of(rows):
    rows = rows.reshape(-1, rows.shape[-1])
    return rounded((rows ** 2).sum(0, keepdim=True)), [len(rows)]


def of_experts(module, x, chosen):
    """Sums over the rows of each expert of what it reads, and of what its second matrix reads."""
    n, first, second, counts = len(module.gate_up_proj), [], [], []
    for e in range(n):
        rows = x[(chosen == e).any(-1)]
        gate, up = (rows @ module.gate_up_proj[e].T).chunk(2, dim=-1)
        first.append((rows ** 2).sum(0))
        second.append(((module.act_fn(gate) * up) ** 2).sum(0))
        counts.append(len(rows))
    return (rounded(torch.stack(first)), counts), (rounded(torch.stack(second)), counts)


def golden(name):
    model = model_of(name)
    found, last = {}, FAMILIES[name][3] - 1

    def listen(i, module, theirs):
        if theirs in DENSE:
            module.register_forward_pre_hook(lambda _, inputs: found.__setitem__(
                f"blk.{i}.{DENSE[theirs]}.weight", sums_of(inputs[0])))
        elif theirs == "mlp.experts":
            def hook(module, inputs):
                gate, down = of_experts(module, inputs[0], inputs[1])
                found[f"blk.{i}.ffn_gate_exps.weight"] = gate
                found[f"blk.{i}.ffn_down_exps.weight"] = down
            module.register_forward_pre_hook(hook)

    for i in (0, last):
        for theirs, module in model.model.layers[i].named_modules():
            listen(i, module, theirs)
    model.lm_head.register_forward_pre_hook(
        lambda _, inputs: found.__setitem__("output.weight", sums_of(inputs[0])))
    with torch.no_grad():
        model(input_ids=torch.tensor([TEXT_IDS]))
    return {tensor: dict(sums=sums, counts=counts) for tensor, (sums, counts) in found.items()}


def main():
    goldens = {"transformers": transformers.__version__,
               "tensors": {name: golden(name) for name in MEASURED}}
    path = pathlib.Path(__file__).with_name("goldens_imatrix.json")
    path.write_text(json.dumps(goldens, indent=None, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
