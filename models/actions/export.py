#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint of train.py as one GGUF file in Q8_0.

    python3 export.py --work DIR --out actions-q8_0.gguf
"""
import argparse
import os

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize

from model import Shape
from tokenizer import BOS, EOS, Tokenizer

TEMPLATE = "<|request|>{{ messages[-1]['content'] }}<|call|>"
LAYER_NAMES = {"attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
               "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}


def gguf_name(name):
    """The name that GGUF gives a parameter of model.Llama."""
    fixed = {"embed.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    if name in fixed:
        return fixed[name]
    _, layer, part, _ = name.split(".")
    return f"blk.{layer}.{LAYER_NAMES[part]}.weight"


def write_facts(w, shape):
    w.add_name("Switchyard actions")
    w.add_description("English request to one device function call as compact JSON")
    w.add_license("Apache-2.0")
    w.add_context_length(shape.context)
    w.add_embedding_length(shape.width)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(shape.ffn)
    w.add_head_count(shape.heads)
    w.add_head_count_kv(shape.kv_heads)
    w.add_layer_norm_rms_eps(shape.eps)
    w.add_rope_dimension_count(shape.width // shape.heads)
    w.add_rope_freq_base(shape.theta)
    w.add_vocab_size(shape.vocab)
    w.add_float32("general.sampling.temp", 0.0)  # the call is the most likely line, not a drawn one
    w.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(2)


def write_vocabulary(w, tokenizer):
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.encode() for p in tokenizer.pieces])
    w.add_token_scores(tokenizer.scores)
    w.add_token_types(tokenizer.types)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(EOS)
    w.add_unk_token_id(0)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(TEMPLATE)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", required=True)
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    state = torch.load(os.path.join(a.work, "last.pt"), weights_only=True)
    w = GGUFWriter(a.out, "llama")
    write_facts(w, Shape(**state["shape"]))
    write_vocabulary(w, Tokenizer.load(os.path.join(a.work, "vocab.json")))
    for name, tensor in state["model"].items():
        values = tensor.float().numpy().astype(np.float32)
        if values.ndim == 2:
            w.add_tensor(gguf_name(name), quantize(values, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            w.add_tensor(gguf_name(name), values)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"{a.out}: {os.path.getsize(a.out) / 1e6:.2f} MB after {state['step']} steps")


if __name__ == "__main__":
    main()
