#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes goldens_lora.json: what peft computes in float64 from the folders of adapters.py over the
models of families.py. Needs torch, transformers and peft (0.21 wrote the file that is kept).

  python3 tests/families/make_lora_goldens.py
"""
import json
import pathlib
import tempfile

import peft
import torch
import transformers
from adapters import ADAPTED, VARIATION, VARIED, write_peft
from families import BASE, FAMILIES, IDS, weights
from safetensors.torch import load_file

KEPT = 3  # rows: the last ones


def check_saved(model, ours, theirs):
    """peft saves what it loaded as we wrote it: the same keys, the same tensors."""
    model.save_pretrained(theirs, save_embedding_layers=False)
    keys = [set(json.loads((f / "adapter_config.json").read_text())) for f in (ours, theirs)]
    assert keys[0] == keys[1], keys[0] ^ keys[1]
    tensors = [load_file(f / "adapter_model.safetensors") for f in (ours, theirs)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][n], tensors[1][n].float()) for n in tensors[0])


def golden(name, **changes):
    _, kind, extra, n_layers = FAMILIES[name]
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(
        **dict(BASE, **extra), num_hidden_layers=n_layers)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{kind}ForCausalLM")(config).double().eval()
    model.load_state_dict({k: torch.from_numpy(v).double() for k, v in weights(name).items()},
                          strict=False)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pathlib.Path(folder) / "ours", pathlib.Path(folder) / "theirs"
        write_peft(name, ours, **changes)
        model = peft.PeftModel.from_pretrained(model, ours).double().eval()
        check_saved(model, ours, theirs)
    with torch.no_grad():
        rows = model(input_ids=torch.tensor([IDS])).logits[0, -KEPT:]
    return [[float(f"{x:.9g}") for x in row] for row in rows.tolist()]


def main():
    goldens = {"peft": peft.__version__, "rows": {name: golden(name) for name in ADAPTED},
               "varied": {name: golden(name, **VARIATION) for name in VARIED}}
    path = pathlib.Path(__file__).with_name("goldens_lora.json")
    path.write_text(json.dumps(goldens, indent=None, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
