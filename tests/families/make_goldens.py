#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes goldens.json: what transformers computes in float64 from the weights of families.py.
Needs torch and transformers (5.23 wrote the file that is kept).

  python3 tests/families/make_goldens.py
"""
import json
import pathlib

import torch
import transformers
from families import BASE, ENCODERS, FAMILIES, IDS, weights

KEPT = 8  # rows: the last ones, which every earlier token went into


def model_of(name):
    """The model in float64."""
    _, kind, extra, n_layers = FAMILIES[name]
    text = "Text" if kind in ("Gemma3", "Gemma3n", "Gemma4") else ""
    config = getattr(transformers, f"{kind}{text}Config")(**BASE, num_hidden_layers=n_layers) \
        if not extra else getattr(transformers, f"{kind}{text}Config")(
            **dict(BASE, **extra), num_hidden_layers=n_layers)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    encodes = name in ENCODERS
    model_class = getattr(transformers, f"{kind}{text}Model" if encodes else f"{kind}ForCausalLM")
    options = dict(add_pooling_layer=False) if kind == "Bert" else {}
    model = model_class(config, **options).double().eval()
    state = {k: torch.from_numpy(v).double() for k, v in weights(name).items()
             if k not in dense_names(name)}
    result = model.load_state_dict(state, strict=False)
    missing = [k for k in result.missing_keys
               if "inv_freq" not in k and "position_ids" not in k and k != "lm_head.weight"]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    return model


def dense_names(name):
    """Matrices behind the mean, which are no part of the model."""
    return sorted(k for k in weights(name) if "dense." in k) if name == "embeddinggemma" else []


def golden(name):
    with torch.no_grad():
        output = model_of(name)(input_ids=torch.tensor([IDS]))
    rows = output.last_hidden_state if name in ENCODERS else output.logits
    for matrix in dense_names(name):
        rows = rows @ torch.from_numpy(weights(name)[matrix]).double().T
    return [[float(f"{x:.9g}") for x in row] for row in rows[0, -KEPT:].tolist()]


def main():
    goldens = {"transformers": transformers.__version__, "ids": IDS,
               "rows": {name: golden(name) for name in FAMILIES}}
    path = pathlib.Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens, indent=None, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
