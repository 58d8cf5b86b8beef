#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes goldens_lora.json: what peft computes in float64 from the adapters of adapters.py over the
models of families.py. Needs torch, transformers and peft (0.21 wrote the file that is kept).

  python3 tests/families/make_lora_goldens.py
"""
import json
import pathlib

import peft
import torch
import transformers
from adapters import ADAPTED, ALPHA, RANK, pairs
from families import BASE, FAMILIES, IDS, weights

KEPT = 3  # rows: the last ones


def golden(name):
    _, kind, extra, n_layers = FAMILIES[name]
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(
        **dict(BASE, **extra), num_hidden_layers=n_layers)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{kind}ForCausalLM")(config).double().eval()
    model.load_state_dict({k: torch.from_numpy(v).double() for k, v in weights(name).items()},
                          strict=False)
    given = pairs(name)
    modules = [theirs.removesuffix(".weight") for theirs in given]
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=modules)).double().eval()
    state = model.state_dict()
    for theirs, (a, b) in given.items():
        prefix = f"base_model.model.{theirs.removesuffix('.weight')}"
        for half, array in (("lora_A", a), ("lora_B", b)):
            key = f"{prefix}.{half}.default.weight"
            assert state[key].shape == array.shape, key
            state[key] = torch.from_numpy(array).double()
    model.load_state_dict(state)
    with torch.no_grad():
        rows = model(input_ids=torch.tensor([IDS])).logits[0, -KEPT:]
    return [[float(f"{x:.9g}") for x in row] for row in rows.tolist()]


def main():
    goldens = {"peft": peft.__version__, "rows": {name: golden(name) for name in ADAPTED}}
    path = pathlib.Path(__file__).with_name("goldens_lora.json")
    path.write_text(json.dumps(goldens, indent=None, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
