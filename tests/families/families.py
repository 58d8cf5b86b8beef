# SPDX-License-Identifier: Apache-2.0
"""One tiny random model of each family: its transformers configuration, its weights (seeded numpy,
by the names that transformers uses) and its GGUF file. The weights are made anew wherever they are
needed, so only the logits that transformers computes from them are kept (goldens.json)."""
import zlib

import numpy as np

WIDTH, HEADS, KV_HEADS, HEAD, FF, VOCAB, CONTEXT = 64, 4, 2, 16, 96, 96, 128
IDS = [1, 17, 33, 5, 80, 2, 2, 61, 44, 90, 7, 23, 58, 11, 3, 70, 29, 66, 12, 95, 40, 8, 51, 19]

BASE = dict(hidden_size=WIDTH, intermediate_size=FF, num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS, vocab_size=VOCAB, max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-6, attention_dropout=0.0, tie_word_embeddings=False,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=32)
GEMMA = dict(hidden_activation="gelu_pytorch_tanh", head_dim=32, query_pre_attn_scalar=32,
             tie_word_embeddings=True)

# name -> architecture in GGUF, transformers class and configuration, number of layers
FAMILIES = {
    "llama": ("llama", "Llama", dict(rope_parameters=LLAMA3_ROPE), 3),
    "smollm": ("llama", "Llama", dict(tie_word_embeddings=True, num_key_value_heads=4,
                                      rope_parameters=dict(rope_type="default",
                                                           rope_theta=10000.0)), 3),
    "qwen2": ("qwen2", "Qwen2", dict(rope_parameters=dict(rope_type="default",
                                                          rope_theta=1e6)), 3),
    "qwen3": ("qwen3", "Qwen3", dict(head_dim=32, rope_parameters=dict(rope_type="default",
                                                                       rope_theta=1e6)), 3),
    "gemma": ("gemma", "Gemma", dict(head_dim=32, hidden_activation="gelu_pytorch_tanh",
                                     tie_word_embeddings=True,
                                     rope_parameters=dict(rope_type="default",
                                                          rope_theta=10000.0)), 3),
    "gemma2": ("gemma2", "Gemma2", dict(GEMMA, sliding_window=6, attn_logit_softcapping=5.0,
                                        final_logit_softcapping=3.0,
                                        rope_parameters=dict(rope_type="default",
                                                             rope_theta=10000.0)), 4),
    "gemma3": ("gemma3", "Gemma3", dict(GEMMA, sliding_window=6, rope_parameters=dict(
        full_attention=dict(rope_type="linear", rope_theta=1e6, factor=4.0),
        sliding_attention=dict(rope_type="default", rope_theta=10000.0))), 7),
    "phi3": ("phi3", "Phi3", dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0),
                                  sliding_window=9), 3),
    "phi3-longrope": ("phi3", "Phi3", dict(original_max_position_embeddings=16, rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=16,
        long_factor=[1.0, 1.1, 1.3, 1.7, 2.3, 3.1, 4.5, 6.0],
        short_factor=[1.0, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3])), 3),
    "bert": ("bert", "Bert", dict(layer_norm_eps=1e-12, type_vocab_size=2, hidden_act="gelu"), 3),
}


def layer_shapes(name):
    """Tensors of one layer: transformers' name -> (GGUF's name, shape)."""
    kind = FAMILIES[name][1]
    config = dict(BASE, **FAMILIES[name][2])
    head = config.get("head_dim", HEAD)
    q, kv = HEADS * head, config["num_key_value_heads"] * head
    if kind == "Bert":
        return {
            **dense("attention.self.query", "attn_q", WIDTH, WIDTH),
            **dense("attention.self.key", "attn_k", WIDTH, WIDTH),
            **dense("attention.self.value", "attn_v", WIDTH, WIDTH),
            **dense("attention.output.dense", "attn_output", WIDTH, WIDTH),
            **norm("attention.output.LayerNorm", "attn_output_norm", WIDTH),
            **dense("intermediate.dense", "ffn_up", WIDTH, FF),
            **dense("output.dense", "ffn_down", FF, WIDTH),
            **norm("output.LayerNorm", "layer_output_norm", WIDTH)}
    shapes = {"self_attn.o_proj.weight": ("attn_output.weight", (WIDTH, q)),
              "mlp.down_proj.weight": ("ffn_down.weight", (WIDTH, FF)),
              "input_layernorm.weight": ("attn_norm.weight", (WIDTH,))}
    if kind == "Phi3":
        shapes["self_attn.qkv_proj.weight"] = ("attn_qkv.weight", (q + 2 * kv, WIDTH))
        shapes["mlp.gate_up_proj.weight"] = ("ffn_up.weight", (2 * FF, WIDTH))
    else:
        for letter, rows in (("q", q), ("k", kv), ("v", kv)):
            shapes[f"self_attn.{letter}_proj.weight"] = (f"attn_{letter}.weight", (rows, WIDTH))
            if kind == "Qwen2":
                shapes[f"self_attn.{letter}_proj.bias"] = (f"attn_{letter}.bias", (rows,))
        shapes["mlp.gate_proj.weight"] = ("ffn_gate.weight", (FF, WIDTH))
        shapes["mlp.up_proj.weight"] = ("ffn_up.weight", (FF, WIDTH))
    if kind in ("Qwen3", "Gemma3"):
        shapes["self_attn.q_norm.weight"] = ("attn_q_norm.weight", (head,))
        shapes["self_attn.k_norm.weight"] = ("attn_k_norm.weight", (head,))
    if kind in ("Gemma2", "Gemma3"):
        shapes["post_attention_layernorm.weight"] = ("post_attention_norm.weight", (WIDTH,))
        shapes["pre_feedforward_layernorm.weight"] = ("ffn_norm.weight", (WIDTH,))
        shapes["post_feedforward_layernorm.weight"] = ("post_ffw_norm.weight", (WIDTH,))
    else:
        shapes["post_attention_layernorm.weight"] = ("ffn_norm.weight", (WIDTH,))
    return shapes


def dense(theirs, ours, inputs, outputs):
    return {f"{theirs}.weight": (f"{ours}.weight", (outputs, inputs)),
            f"{theirs}.bias": (f"{ours}.bias", (outputs,))}


def norm(theirs, ours, width):
    return {f"{theirs}.weight": (f"{ours}.weight", (width,)),
            f"{theirs}.bias": (f"{ours}.bias", (width,))}


def all_shapes(name):
    kind, extra, n_layers = FAMILIES[name][1:]
    if kind == "Bert":
        shapes = {"embeddings.word_embeddings.weight": ("token_embd.weight", (VOCAB, WIDTH)),
                  "embeddings.position_embeddings.weight": ("position_embd.weight",
                                                            (CONTEXT, WIDTH)),
                  "embeddings.token_type_embeddings.weight": ("token_types.weight", (2, WIDTH)),
                  **norm("embeddings.LayerNorm", "token_embd_norm", WIDTH)}
        prefix = "encoder.layer"
    else:
        shapes = {"model.embed_tokens.weight": ("token_embd.weight", (VOCAB, WIDTH)),
                  "model.norm.weight": ("output_norm.weight", (WIDTH,))}
        if not dict(BASE, **extra)["tie_word_embeddings"]:
            shapes["lm_head.weight"] = ("output.weight", (VOCAB, WIDTH))
        prefix = "model.layers"
    for i in range(n_layers):
        for theirs, (ours, shape) in layer_shapes(name).items():
            shapes[f"{prefix}.{i}.{theirs}"] = (f"blk.{i}.{ours}", shape)
    return shapes


def weights(name):
    """transformers' name -> f32 array. Seeded by names, so that order does not matter."""
    arrays = {}
    for theirs, (_, shape) in all_shapes(name).items():
        rng = np.random.default_rng(zlib.crc32(f"{name} {theirs}".encode()))
        array = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.25)
        if "norm" in theirs.lower() and theirs.endswith("weight"):
            offset = 0 if FAMILIES[name][1].startswith("Gemma") else 1
            array = array * np.float32(0.5) + np.float32(offset)
        arrays[theirs] = array
    return arrays


def permuted(array, n_heads):
    """Rows of a llama query or key in the order of interleaved pairs."""
    rows = array.reshape(n_heads, 2, array.shape[0] // n_heads // 2, *array.shape[1:])
    return rows.swapaxes(1, 2).reshape(array.shape)


def converted(name, theirs, array):
    """What the conversion to GGUF does to a weight."""
    kind = FAMILIES[name][1]
    kv = dict(BASE, **FAMILIES[name][2])["num_key_value_heads"]
    if kind == "Llama" and ".q_proj." in theirs:
        return permuted(array, HEADS)
    if kind == "Llama" and ".k_proj." in theirs:
        return permuted(array, kv)
    if kind.startswith("Gemma") and "norm" in theirs:
        return array + np.float32(1)
    return array


def llama3_factors(head):
    """Divisors of the rotary frequencies, from the rule of Llama 3.1's configuration."""
    r = LLAMA3_ROPE
    frequency = r["rope_theta"] ** -(np.arange(0, head, 2, dtype=np.float64) / head)
    wave = 2 * np.pi / frequency
    old = r["original_max_position_embeddings"]
    smooth = (old / wave - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
    between = 1 / ((1 - smooth) / r["factor"] + smooth)
    factors = np.where(wave < old / r["high_freq_factor"], 1.0,
                       np.where(wave > old / r["low_freq_factor"], r["factor"], between))
    return factors.astype(np.float32)


def write_keys(writer, name, n_layers, config):
    head = config.get("head_dim", HEAD)
    writer.add_block_count(n_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    if FAMILIES[name][1] == "Bert":
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)
        return
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config["rope_parameters"]
    full = rope.get("full_attention", rope)
    writer.add_rope_freq_base(full["rope_theta"])
    if full["rope_type"] == "linear":
        writer.add_float32(f"{FAMILIES[name][0]}.rope.scaling.factor", full["factor"])
        writer.add_string(f"{FAMILIES[name][0]}.rope.scaling.type", "linear")
    if full["rope_type"] == "longrope":
        old = full["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(old)
        writer.add_rope_scaling_attn_factors(
            float(np.sqrt(1 + np.log(CONTEXT / old) / np.log(old))))
    if "sliding_window" in config:
        writer.add_sliding_window(config["sliding_window"])
    if "attn_logit_softcapping" in config:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def write_gguf(name, path):
    """The model as a GGUF file with a plain byte vocabulary."""
    from gguf import GGUFWriter
    architecture, _, extra, n_layers = FAMILIES[name]
    config = dict(BASE, **extra)
    writer = GGUFWriter(str(path), architecture)
    write_keys(writer, name, n_layers, config)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_scores([-float(i) for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    rope = config.get("rope_parameters", {})
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config.get("head_dim", HEAD)))
    if rope.get("rope_type") == "longrope":
        for length in ("long", "short"):
            writer.add_tensor(f"rope_factors_{length}.weight",
                              np.array(rope[f"{length}_factor"], np.float32))
    shapes = all_shapes(name)
    for theirs, array in weights(name).items():
        writer.add_tensor(shapes[theirs][0], np.ascontiguousarray(converted(name, theirs, array)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
