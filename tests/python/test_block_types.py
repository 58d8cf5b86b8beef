# SPDX-License-Identifier: Apache-2.0
"""Every block type end to end: a small decoder whose embedding and matrices are blocks of one type,
against the same model with the blocks' values in f32, and blocks that llama.cpp's own quantiser made
from known data."""
import functools
import json
import os
import pathlib

import gguf
import numpy as np
import pytest

from logits_probe import logits_of
from op_probe import BLOCKS, TYPES, decode

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
QUANTISED = json.loads((SOURCE / "tests/reference/quantised_rows.json").read_text())

NAMES = [t for t in BLOCKS if t not in ("i4", "u4", "Q8_1", "Q8_K")]
HALVES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q2_K": [80, 82],
          "Q3_K": [108], "Q6_K": [208], "TQ1_0": [52], "TQ2_0": [64]}  # others: [0]
WIDTH, HEADS, KV_HEADS, FF, VOCAB, LAYERS = 256, 4, 2, 512, 96, 2
IDS = [1, 17, 33, 5, 80, 2, 61, 44, 90, 7, 23, 58]
logits = functools.partial(logits_of, IDS)


def set_factor(type_name, blocks, factor):
    """Every block of `blocks` to about this factor."""
    half = np.array([factor], np.float16)
    if type_name == "MXFP4":
        blocks[:, 0] = np.clip(np.round(np.log2(factor)) + 128, 1, 254)
    elif type_name == "NVFP4":
        blocks[:, :4] = np.clip(np.round(8 * np.log2(factor) + 64), 1, 126)
    elif type_name == "IQ1_M":
        for k in range(4):
            quarter = np.uint8(half.view(np.uint16)[0] >> 4 * k & 15)
            blocks[:, 49 + 2 * k] = blocks[:, 49 + 2 * k] & 15 | quarter << 4
    else:
        for place in HALVES.get(type_name, [0]):
            blocks[:, place:place + 2] = half.view(np.uint8)


def values_of(type_name, blocks):
    if type_name in ("Q1_0", "Q2_0"):  # gguf-py lacks them
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        bits = 1 if type_name == "Q1_0" else 2
        q = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").reshape(len(blocks), -1, bits)
        q = (q << np.arange(bits, dtype=np.uint8)).sum(axis=2).astype(np.float32)
        return d * (2 * q - 1 if bits == 1 else q - 1)
    return gguf.quants.dequantize(blocks, getattr(gguf.GGMLQuantizationType, type_name))


def random_matrix(type_name, rows, columns, seed):
    """Random blocks of about the size of trained weights, and their values."""
    elements, n_bytes = BLOCKS[type_name]
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (rows * columns // elements, n_bytes), dtype=np.uint8)
    set_factor(type_name, blocks, 1.0)
    size = np.sqrt(np.mean(values_of(type_name, blocks).astype(np.float64) ** 2))
    set_factor(type_name, blocks, 0.06 / size)
    values = values_of(type_name, blocks).reshape(rows, columns).astype(np.float32)
    assert 0.02 < np.sqrt(np.mean(values ** 2)) < 0.2
    return blocks.reshape(rows, -1), values


def matrices():
    kv = WIDTH // HEADS * KV_HEADS
    yield "token_embd.weight", VOCAB, WIDTH
    yield "output.weight", VOCAB, WIDTH
    for i in range(LAYERS):
        for name, rows, columns in (("attn_q", WIDTH, WIDTH), ("attn_k", kv, WIDTH),
                                    ("attn_v", kv, WIDTH), ("attn_output", WIDTH, WIDTH),
                                    ("ffn_gate", FF, WIDTH), ("ffn_up", FF, WIDTH),
                                    ("ffn_down", WIDTH, FF)):
            yield f"blk.{i}.{name}.weight", rows, columns


def scale_of(seed):
    """Powers of two, so that products with scaled values round alike."""
    return np.float32(2.0 ** (seed % 3 - 1))


def write_model(type_name, path, as_values, scales=None):
    """scales: "beside" the matrices as tensors, or "within" their values."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_scores([-float(i) for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    for seed, (name, rows, columns) in enumerate(matrices()):
        blocks, values = random_matrix(type_name, rows, columns, seed)
        scaled = scales is not None and name != "token_embd.weight"
        if scaled and scales == "beside":
            prefix = name.removesuffix("weight")
            writer.add_tensor(f"{prefix}scale", np.array([scale_of(seed)]))
            writer.add_tensor(f"{prefix}input_scale", np.array([0.125], np.float32))  # no part of the values
        if as_values:
            writer.add_tensor(name, values * scale_of(seed) if scaled and scales == "within" else values)
        else:
            writer.add_tensor(name, blocks.view(np.int8), raw_shape=(rows, columns),
                              raw_dtype=TYPES[type_name])
    for name in ["output_norm"] + [f"blk.{i}.{n}" for i in range(LAYERS)
                                   for n in ("attn_norm", "ffn_norm")]:
        writer.add_tensor(f"{name}.weight", np.linspace(0.5, 1.5, WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def delegate_is_near(type_name, path, exact, bound):
    """The CPU delegate alone: near the exact logits, and the last row the same bits by itself."""
    flags = ["--plugins", BUILD / "plugins", "--without", "reference"]
    found = logits(path, *flags)
    rms = np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact ** 2))
    print(f"{type_name}: relative rms {rms:.2g}")
    assert np.isfinite(found).all() and 0 < rms < bound
    assert np.array_equal(logits(path, *flags, chunk=len(IDS))[0], found[-1])


@pytest.mark.parametrize("type_name", NAMES)
def test_a_model_of_the_type(type_name, tmp_path):
    blocks, values = tmp_path / "blocks.gguf", tmp_path / "values.gguf"
    write_model(type_name, blocks, False)
    write_model(type_name, values, True)
    exact = logits(values)
    assert np.array_equal(logits(blocks), exact)  # the reference delegate decodes exactly
    delegate_is_near(type_name, blocks, exact, 2e-4)


@pytest.mark.parametrize("type_name", ["NVFP4", "Q8_0"])
def test_scales_beside_the_matrices(type_name, tmp_path):
    """One factor for each tensor, as files of NVFP4 have it."""
    beside, within = tmp_path / "beside.gguf", tmp_path / "within.gguf"
    write_model(type_name, beside, False, "beside")
    write_model(type_name, within, True, "within")
    exact = logits(within)
    assert np.array_equal(logits(beside), exact)
    delegate_is_near(type_name, beside, exact, 4e-4)


@pytest.mark.parametrize("type_name", QUANTISED["rows"])
def test_rows_of_another_quantiser(type_name):
    """What a real quantiser wrote decodes to about what it was given."""
    row = QUANTISED["rows"][type_name]
    given = given_row(QUANTISED["n_elements"])
    found = decode(type_name, bytes.fromhex(row["blocks"]), len(given))
    error = np.sqrt(np.mean((found - given) ** 2) / np.mean(given ** 2))
    assert abs(error - row["error"]) < 1e-6


def given_row(n_elements):
    """The data of tests/reference/make_quantised_rows.py."""
    return np.random.default_rng(QUANTISED["seed"]).standard_normal(n_elements).astype(np.float32)
