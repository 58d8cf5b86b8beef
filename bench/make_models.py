#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes GGUF files with random weights in the shapes of small public language models, to measure with.

  make_models.py --out models                                      every shape, f16
  make_models.py --out models --quantize BIN/llama-quantize        and Q4_0, Q4_K_M, Q8_0
  make_models.py --out models --shapes s180,tiny --types f32
  make_models.py --out models --vocab llama32-1b=VOCABULARY.gguf   a real vocabulary

Speed does not depend on the values of weights; it does depend on shapes, types and on the size and structure of
the vocabulary, and these are those of the models. Vocabularies are made up unless --vocab names a GGUF file that
carries one of the right size. The same seed gives the same bytes. Files that exist are left alone.
"""
import argparse
import dataclasses
import pathlib
import subprocess
import sys
import zlib

import gguf
import numpy as np

FLOATS = {"f32": (np.float32, 0), "f16": (np.float16, 1)}
BLOCKS = ("Q4_0", "Q4_K_M", "Q8_0")


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of one model; `kind` is the vocabulary's algorithm."""
    family: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    ffn: int
    vocabulary: int
    context: int
    kind: str = "gpt2"
    pre: str = "default"
    epsilon: float = 1e-6
    rope_base: float = 1e6
    window: int = 0
    stretched_rope: bool = False

    @property
    def qk_norm(self):
        return self.family in ("gemma3", "qwen3")


SHAPES = {
    "gemma3-270m": Shape("gemma3", 18, 640, 4, 1, 256, 2048, 262144, 32768, kind="llama", window=512),
    "qwen25-0.5b": Shape("qwen2", 24, 896, 14, 2, 64, 4864, 151936, 32768, pre="qwen2"),
    "llama32-1b": Shape("llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, pre="llama-bpe", epsilon=1e-5,
                        rope_base=5e5, stretched_rope=True),
    "s180": Shape("qwen3", 10, 1024, 16, 8, 64, 3072, 32000, 4096, pre="qwen2"),
    # small enough for a test, every row a multiple of 256
    "tiny": Shape("llama", 2, 256, 4, 2, 64, 512, 1024, 512, pre="llama-bpe", epsilon=1e-5),
    "tiny-gemma3": Shape("gemma3", 6, 256, 2, 1, 128, 512, 1536, 512, kind="llama", window=64),
}
MEASURED = ("gemma3-270m", "qwen25-0.5b", "llama32-1b", "s180")


def generator(seed, name):
    """One stream of random numbers per tensor, so that no file depends on the order of another."""
    return np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))


# ---- vocabularies ---------------------------------------------------------------------------------------------

def grow_words(letters, n, rng, longest=16):
    """n distinct strings, each two earlier ones joined: [(text, left, right)]. Early words are joined most, as in
    a vocabulary that was learnt from text, so that lengths grow slowly with the index."""
    texts = list(letters)
    known = set(texts)
    grown = []
    while len(grown) < n:
        # squares and cubes of uniform numbers prefer small indexes
        left = (rng.random(8192) ** 2 * len(texts)).astype(int)
        right = (rng.random(8192) ** 3 * len(texts)).astype(int)
        for i, j in zip(left, right):
            text = texts[i] + texts[j]
            if len(text) > longest or text in known or (j == 0 and i != 0):
                continue
            known.add(text)
            texts.append(text)
            grown.append((text, texts[i], texts[j]))
            if len(grown) == n:
                break
    return grown


def byte_letters():
    """The printable character that stands for each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(hidden)}}


def byte_level_vocabulary(shape, seed):
    """Bytes, then words with one merge each, then control tokens at the end."""
    n_control = max(16, shape.vocabulary // 500)
    letters = byte_letters()
    common = [32, *b"etaoinshrdlucmfwypvbgkqjxz", *range(33, 97), *range(123, 127)]
    order = [letters[b] for b in [*common, *(b for b in range(256) if b not in common)]]
    n_words = shape.vocabulary - len(order) - n_control
    words = grow_words(order[:len(common)], n_words, generator(seed, "vocabulary"))
    tokens = [*order, *(w[0] for w in words), *(f"<|control_{i}|>" for i in range(n_control))]
    first = shape.vocabulary - n_control
    return {"model": "gpt2", "pre": shape.pre, "tokens": tokens,
            "token_type": [1] * first + [3] * n_control, "merges": [f"{a} {b}" for _, a, b in words],
            "bos_token_id": first, "eos_token_id": first + 1, "padding_token_id": first + 1,
            "add_bos_token": shape.family == "llama"}


def sentencepiece_vocabulary(shape, seed):
    """Control tokens, byte tokens, characters, words; the score falls with the index."""
    control = ["<pad>", "<eos>", "<bos>", "<unk>"]
    letters = ["\u2581", *"etaoinshrdlucmfwypvbgkqjxz", *(chr(c) for c in range(33, 97)), *"{|}~"]
    n_words = shape.vocabulary - len(control) - 256 - len(letters)
    words = grow_words(letters, n_words, generator(seed, "vocabulary"))
    tokens = [*control, *(f"<0x{b:02X}>" for b in range(256)), *(w[0] for w in words), *letters]
    return {"model": "llama", "tokens": tokens, "scores": [-float(i) for i in range(len(tokens))],
            "token_type": [3, 3, 3, 2] + [6] * 256 + [1] * (n_words + len(letters)),
            "bos_token_id": 2, "eos_token_id": 1, "padding_token_id": 0, "unknown_token_id": 3,
            "add_bos_token": True, "add_space_prefix": False}


def vocabulary_of_file(path, shape):
    """The tokenizer keys of another GGUF file; merges become scores where the shape wants them."""
    fields = gguf.GGUFReader(path).fields
    keys = {k.removeprefix("tokenizer.ggml."): f for k, f in fields.items() if k.startswith("tokenizer.ggml.")}
    texts = lambda f: [bytes(f.parts[i]).decode("utf-8", "replace") for i in f.data]
    found = {k: texts(f) if k in ("tokens", "merges") else f.contents() for k, f in keys.items()}
    if len(found["tokens"]) != shape.vocabulary:
        sys.exit(f"{path} has {len(found['tokens'])} tokens, {shape.vocabulary} are wanted.")
    if shape.kind == "llama" and found["model"] != "llama":
        found.pop("merges", None)
        found.pop("pre", None)
        found.update(model="llama", scores=[-float(i) for i in range(shape.vocabulary)])
    return found


def write_vocabulary(writer, vocabulary):
    lists = {"tokens": writer.add_token_list, "scores": writer.add_token_scores,
             "token_type": writer.add_token_types, "merges": writer.add_token_merges}
    for key, value in vocabulary.items():
        if key in lists:
            lists[key](value)
        elif isinstance(value, bool):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, str):
            writer.add_string(f"tokenizer.ggml.{key}", value)


# ---- weights --------------------------------------------------------------------------------------------------

def tensors(shape):
    """(name, rows and columns, what it is) of every tensor: "matrix", "norm", "bias" or "rope"."""
    queries, keys, wide = shape.heads * shape.head, shape.kv_heads * shape.head, shape.width
    layer = [("attn_norm.weight", (wide,), "norm"), ("attn_q.weight", (queries, wide), "matrix"),
             ("attn_k.weight", (keys, wide), "matrix"), ("attn_v.weight", (keys, wide), "matrix"),
             ("attn_output.weight", (wide, queries), "matrix"), ("ffn_norm.weight", (wide,), "norm"),
             ("ffn_gate.weight", (shape.ffn, wide), "matrix"), ("ffn_up.weight", (shape.ffn, wide), "matrix"),
             ("ffn_down.weight", (wide, shape.ffn), "matrix")]
    if shape.family == "qwen2":
        layer += [("attn_q.bias", (queries,), "bias"), ("attn_k.bias", (keys,), "bias"),
                  ("attn_v.bias", (keys,), "bias")]
    if shape.qk_norm:
        layer += [("attn_q_norm.weight", (shape.head,), "norm"), ("attn_k_norm.weight", (shape.head,), "norm")]
    if shape.family == "gemma3":
        layer += [("post_attention_norm.weight", (wide,), "norm"), ("post_ffw_norm.weight", (wide,), "norm")]
    yield "token_embd.weight", (shape.vocabulary, wide), "matrix"
    yield "output_norm.weight", (wide,), "norm"
    if shape.stretched_rope:
        yield "rope_freqs.weight", (shape.head // 2,), "rope"
    for i in range(shape.layers):
        yield from ((f"blk.{i}.{name}", size, kind) for name, size, kind in layer)


def stretched_frequencies(shape, factor=32.0, low=1.0, high=4.0, trained=8192):
    """Llama 3.1's divisors: none for short waves, `factor` for long ones, a ramp between."""
    rate = shape.rope_base ** (-np.arange(0, shape.head, 2) / shape.head)
    turns = trained * rate / (2 * np.pi)
    ramp = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - ramp) / factor + ramp)).astype(np.float32)


def values(name, size, kind, shape, seed):
    if kind == "rope":
        return stretched_frequencies(shape)
    numbers = generator(seed, name).standard_normal(size, dtype=np.float32)
    numbers *= np.float32(0.1 if kind == "norm" else 0.02)
    return numbers + np.float32(1) if kind == "norm" else numbers


def write_facts(writer, name, shape, file_type):
    writer.add_name(f"random weights, shape {name}")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if shape.window:
        writer.add_sliding_window(shape.window)


def write_model(path, name, shape, vocabulary, type_name, seed):
    number, file_type = FLOATS[type_name]
    writer = gguf.GGUFWriter(path, shape.family)
    write_facts(writer, name, shape, file_type)
    write_vocabulary(writer, vocabulary)
    stored = {kind: np.dtype(number if kind == "matrix" else np.float32)
              for kind in ("matrix", "norm", "bias", "rope")}
    listed = list(tensors(shape))
    for tensor, size, kind in listed:
        writer.add_tensor_info(tensor, size, stored[kind], int(np.prod(size)) * stored[kind].itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, size, kind in listed:
        writer.write_tensor_data(values(tensor, size, kind, shape, seed).astype(stored[kind]))
    writer.close()
    return sum(int(np.prod(size)) for _, size, _ in listed)


def write_adapter(path, shape, rank=16, seed=1):
    """A LoRA adapter with random pairs for every projection of the layers, in f16."""
    writer = gguf.GGUFWriter(path, shape.family)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for name, size, kind in tensors(shape):
        if kind == "matrix" and name.startswith("blk."):
            for part, (rows, columns) in (("a", (rank, size[1])), ("b", (size[0], rank))):
                pair = f"{name}.lora_{part}"
                numbers = generator(seed, pair).standard_normal((rows, columns), dtype=np.float32)
                writer.add_tensor(pair, (numbers * np.float32(0.02)).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- the files ------------------------------------------------------------------------------------------------

def make(name, flags, vocabularies):
    """The float file of one shape, then its block-quantised ones."""
    shape = SHAPES[name]
    floats = [t for t in flags.types if t in FLOATS]
    blocks = [t for t in flags.types if t not in FLOATS]
    target = lambda t: flags.out / f"{name}-{t}.gguf"
    todo = [t for t in flags.types if not target(t).exists()]
    if not todo:
        return
    if any(t in blocks for t in todo) and not floats:
        floats = ["f16"]
    if name in vocabularies:
        vocabulary = vocabulary_of_file(vocabularies[name], shape)
    else:
        make_up = sentencepiece_vocabulary if shape.kind == "llama" else byte_level_vocabulary
        vocabulary = make_up(shape, flags.seed)
    for t in floats:
        if not target(t).exists():
            part = target(t).with_suffix(".part")
            n = write_model(part, name, shape, vocabulary, t, flags.seed)
            part.rename(target(t))
            print(f"{target(t)}: {n / 1e6:.1f} M weights, {target(t).stat().st_size / 1e6:.0f} MB", flush=True)
    for t in blocks:
        if not target(t).exists():
            quantize(flags, target(floats[0]), target(t), t)


def quantize(flags, source, target, type_name):
    part = target.with_suffix(".part")
    done = subprocess.run([flags.quantize, source, part, type_name, str(flags.threads)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{flags.quantize} could not make {target}:\n{done.stdout[-2000:]}")
    part.rename(target)
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB", flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the files")
    parser.add_argument("--shapes", type=listed, default=list(MEASURED), help=",".join(SHAPES))
    parser.add_argument("--types", type=listed, help="f32, f16 and llama-quantize's names (default: f16, "
                        "with --quantize also Q4_0,Q4_K_M,Q8_0)")
    parser.add_argument("--vocab", action="append", default=[], metavar="SHAPE=FILE",
                        help="take the vocabulary of a GGUF file")
    parser.add_argument("--quantize", help="path of llama-quantize")
    parser.add_argument("--threads", type=int, default=2, help="threads of llama-quantize")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args(arguments)
    flags.types = flags.types or ["f16", *(BLOCKS if flags.quantize else ())]
    for name in flags.shapes:
        if name not in SHAPES:
            parser.error(f"no shape {name}; there are {', '.join(SHAPES)}")
    if not flags.quantize and any(t not in FLOATS for t in flags.types):
        parser.error("--types beyond f32 and f16 need --quantize PATH")
    return flags


def main(arguments=None):
    flags = parse(arguments)
    flags.out.mkdir(parents=True, exist_ok=True)
    vocabularies = dict(v.split("=", 1) for v in flags.vocab)
    for name in flags.shapes:
        make(name, flags, vocabularies)


if __name__ == "__main__":
    main()
