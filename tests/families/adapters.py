# SPDX-License-Identifier: Apache-2.0
"""A random LoRA adapter for some of the tiny models of families.py, as peft holds it and as the
GGUF file that llama.cpp's converter makes of it. Seeded: only the logits are kept
(goldens_lora.json)."""
import zlib

import numpy as np
from families import all_shapes, converted, weights, write_gguf

RANK, ALPHA = 6, 9.0
ADAPTED = ("llama", "qwen2", "phi3", "gemma3")


def pairs(name):
    """transformers' name of a weight -> (A, B); every projection, and the output where it is."""
    found = {}
    for theirs, (_, shape) in all_shapes(name).items():
        if theirs.endswith("_proj.weight") or theirs == "lm_head.weight":
            rng = np.random.default_rng(zlib.crc32(f"lora {name} {theirs}".encode()))
            a = rng.standard_normal((RANK, shape[1]), dtype=np.float32) * np.float32(0.2)
            b = rng.standard_normal((shape[0], RANK), dtype=np.float32) * np.float32(0.1)
            found[theirs] = (a, b)
    return found


def write_adapter(name, path, dtype=np.float32):
    from families import FAMILIES
    from gguf import GGUFWriter
    writer = GGUFWriter(str(path), FAMILIES[name][0])
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    shapes = all_shapes(name)
    for theirs, (a, b) in pairs(name).items():
        ours = shapes[theirs][0][0]
        writer.add_tensor(f"{ours}.lora_a", a.astype(dtype))
        writer.add_tensor(f"{ours}.lora_b",
                          np.ascontiguousarray(converted(name, theirs, b)).astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_merged(name, path):
    """The base model with the adapter added to its weights."""
    import families
    merged = {theirs: array for theirs, array in weights(name).items()}
    for theirs, (a, b) in pairs(name).items():
        merged[theirs] = merged[theirs] + np.float32(ALPHA / RANK) * (b @ a)
    plain = families.weights
    families.weights = lambda _: merged
    try:
        write_gguf(name, path)
    finally:
        families.weights = plain
