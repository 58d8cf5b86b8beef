#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a small trained model of the Llama family in the shape of a large one: what it says stays what it was, what a
token costs becomes what a token of the large one costs.

  widen_model.py SMALL.gguf LARGE.gguf [--shape llama32-1b]

The small model's rows and columns stand in the corners of the large matrices, everything else is zero, and layers beyond its
own add nothing. Norms and queries carry the factors that the larger widths would bring in, the rotation's divisors the
frequencies of the smaller heads. The vocabulary stays the small one's. Matrices become Q8_0.
"""
import argparse
import dataclasses
import math
import pathlib

import gguf
import numpy as np

import make_models

Q8_0 = gguf.GGMLQuantizationType.Q8_0
BLOCK, BLOCK_BYTES = 32, 34


class Small:
    """Tensors and sizes of the small model."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.tensors = {t.name: np.array(t.data) for t in reader.tensors}
        key = lambda name: reader.fields[f"llama.{name}"].contents()
        if any(t.dtype != np.float32 for t in self.tensors.values()):
            raise SystemExit(f"{path} holds other types than f32.")
        self.layers, self.width, self.ffn = key("block_count"), key("embedding_length"), key("feed_forward_length")
        self.heads, self.kv_heads = key("attention.head_count"), key("attention.head_count_kv")
        self.head = self.width // self.heads
        self.context, self.epsilon = key("context_length"), key("attention.layer_norm_rms_epsilon")
        self.rope_base = reader.fields["llama.rope.freq_base"].contents() if "llama.rope.freq_base" in reader.fields else 1e4
        self.vocabulary = self.tensors["token_embd.weight"].shape[0]


def large_shape(small, name):
    shape = make_models.SHAPES[name]
    if shape.heads // shape.kv_heads < small.heads // small.kv_heads or shape.kv_heads < small.kv_heads \
            or shape.head < small.head or shape.width < small.width:
        raise SystemExit(f"The small model does not fit into {name}.")
    return dataclasses.replace(shape, vocabulary=small.vocabulary, kind="llama", context=small.context,
                               rope_base=small.rope_base, epsilon=small.epsilon * small.width / shape.width,
                               stretched_rope=True)


def places(small, shape, name):
    """(rows, columns) of the large matrix where those of the small one go, and the factor they get."""
    query_group, small_group = shape.heads // shape.kv_heads, small.heads // small.kv_heads
    of_head = lambda i: i * shape.head + np.arange(small.head)
    queries = np.concatenate([of_head(h // small_group * query_group + h % small_group) for h in range(small.heads)])
    keys = np.concatenate([of_head(h) for h in range(small.kv_heads)])
    wide, ffn = np.arange(small.width), np.arange(small.ffn)
    scale = math.sqrt(shape.head / small.head)  # products of queries and keys are divided by the root of a head
    return {"attn_q": (queries, wide, scale), "attn_k": (keys, wide, 1), "attn_v": (keys, wide, 1),
            "attn_output": (wide, queries, 1), "ffn_gate": (ffn, wide, 1), "ffn_up": (ffn, wide, 1),
            "ffn_down": (wide, ffn, 1), "token_embd": (np.arange(small.vocabulary), wide, 1)}[name]


def frequencies(small, shape):
    """Divisors that turn the frequencies of the large heads into those of the small ones."""
    divisors = np.ones(shape.head // 2, np.float32)
    pairs = np.arange(small.head // 2)
    divisors[pairs] = small.rope_base ** (2 * pairs / small.head - 2 * pairs / shape.head)
    return divisors


def vector(small, shape, name, size):
    found = np.zeros(size, np.float32)
    if name in small.tensors:
        found[:small.width] = small.tensors[name] * math.sqrt(small.width / shape.width)
    return found


def matrix(small, shape, name, size):
    """Rows of Q8_0 blocks: those that are not all zero are quantised, the others are zeros as they are."""
    packed = np.zeros((size[0], size[1] // BLOCK * BLOCK_BYTES), np.uint8)
    if name in small.tensors:
        rows, columns, scale = places(small, shape, name.split(".")[-2])
        values = np.zeros((len(rows), size[1]), np.float32)
        values[:, columns] = small.tensors[name] * np.float32(scale)
        packed[rows] = gguf.quants.quantize(values, Q8_0)
    return packed


def widen(source, target, name="llama32-1b"):
    small = Small(source)
    shape = large_shape(small, name)
    writer = gguf.GGUFWriter(target, shape.family)
    make_models.write_facts(writer, f"{pathlib.Path(source).stem} in the shape of {name}", shape, 7)
    make_models.write_vocabulary(writer, make_models.vocabulary_of_file(source, shape))
    listed = list(make_models.tensors(shape))
    for tensor, size, kind in listed:
        if kind == "matrix":
            packed = (size[0], size[1] // BLOCK * BLOCK_BYTES)
            writer.add_tensor_info(tensor, packed, np.dtype(np.uint8), packed[0] * packed[1], raw_dtype=Q8_0)
        else:
            writer.add_tensor_info(tensor, size, np.dtype(np.float32), 4 * size[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, size, kind in listed:
        if kind == "rope":
            writer.write_tensor_data(frequencies(small, shape))
        else:
            writer.write_tensor_data((matrix if kind == "matrix" else vector)(small, shape, tensor, size))
    writer.close()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", type=pathlib.Path)
    parser.add_argument("large", type=pathlib.Path)
    parser.add_argument("--shape", default="llama32-1b", choices=[n for n, s in make_models.SHAPES.items()
                                                                 if s.family == "llama"])
    flags = parser.parse_args(arguments)
    widen(flags.small, flags.large, flags.shape)


if __name__ == "__main__":
    main()
