# SPDX-License-Identifier: Apache-2.0
"""A random LoRA adapter for some of the tiny models of families.py, as the folder that peft saves
and as the GGUF file that llama.cpp's converter makes of it. Seeded: only the logits are kept
(goldens_lora.json)."""
import json
import re
import zlib

import numpy as np
from families import all_shapes, converted, weights, write_gguf, write_safetensors

RANK, ALPHA = 6, 9.0
ADAPTED = ("llama", "qwen2", "phi3", "gemma3")
# Scales and ranks that differ by module, for the models with these names.
VARIED = ("llama", "qwen2", "gemma3")
VARIATION = dict(use_rslora=True, rank_pattern={"k_proj": 3, "layers.1.mlp.up_proj": 4},
                 alpha_pattern={"^model.layers.0.self_attn.q_proj": 4, "down_proj": 30.0,
                                "1.mlp.up_proj": 2})
# adapter_config.json as peft 0.21 writes it; make_lora_goldens.py compares.
CONFIG = dict(
    alora_invocation_tokens=None, alpha_pattern={}, arrow_config=None, auto_mapping=None,
    base_model_name_or_path=None, bias="none", corda_config=None, ensure_weight_tying=False,
    eva_config=None, exclude_modules=None, fan_in_fan_out=False, inference_mode=True,
    init_lora_weights=True, kasa_config=None, layer_replication=None, layers_pattern=None,
    layers_to_transform=None, loftq_config={}, lora_alpha=ALPHA, lora_bias=False,
    lora_dropout=0.0, lora_ga_config=None, megatron_config=None, megatron_core="megatron.core",
    modules_to_save=None, monteclora_config=None, peft_type="LORA", peft_version="0.21.2",
    qalora_group_size=16, r=RANK, rank_pattern={}, revision=None, target_parameters=None,
    task_type=None, trainable_token_indices=None, use_bdlora=None, use_dora=False,
    use_qalora=False, use_rslora=False, velora_config=None)


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


def write_peft(name, folder, dtype="F32", **changes):
    """The adapter as peft saves it; a rank_pattern takes the first columns of each pair."""
    arrays, modules = {}, set()
    for theirs, (a, b) in pairs(name).items():
        module = theirs.removesuffix(".weight")
        ranks = [rank for pattern, rank in changes.get("rank_pattern", {}).items()
                 if re.match(rf"(.*\.)?({pattern})$", module)] + [RANK]
        arrays[f"base_model.model.{module}.lora_A.weight"] = a[:ranks[0]]
        arrays[f"base_model.model.{module}.lora_B.weight"] = b[:, :ranks[0]]
        modules.add(module.split(".")[-1])
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(CONFIG, target_modules=sorted(modules), **changes)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    write_safetensors(folder / "adapter_model.safetensors", arrays, dtype)


def write_adapter(name, path, dtype=np.float32, blocks=None, unpacked=False):
    """blocks: a block type for rows of whole blocks, as the converter's --outtype has it;
    unpacked: what the blocks hold, in f32."""
    from families import FAMILIES
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize, quantize
    writer = GGUFWriter(str(path), FAMILIES[name][0])
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    shapes = all_shapes(name)
    kind = blocks and GGMLQuantizationType[blocks]
    for theirs, (a, b) in pairs(name).items():
        ours = shapes[theirs][0][0]
        for half, array in (("a", a), ("b", np.ascontiguousarray(converted(name, theirs, b)))):
            if kind is None or array.shape[1] % 32 != 0:
                writer.add_tensor(f"{ours}.lora_{half}", array.astype(dtype))
            elif unpacked:
                writer.add_tensor(f"{ours}.lora_{half}", dequantize(quantize(array, kind), kind))
            else:
                writer.add_tensor(f"{ours}.lora_{half}", quantize(array, kind), raw_dtype=kind)
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
