# SPDX-License-Identifier: Apache-2.0
"""One tiny random model of each family: its transformers configuration, its weights (seeded numpy,
by the names that transformers uses) and its GGUF file. The weights are made anew wherever they are
needed, so only the logits that transformers computes from them are kept (goldens.json). The same
model can be written as a Hugging Face folder."""
import json
import zlib
from statistics import NormalDist

import numpy as np

WIDTH, HEADS, KV_HEADS, HEAD, FF, VOCAB, CONTEXT = 64, 4, 2, 16, 96, 96, 128
IDS = [1, 17, 33, 5, 80, 2, 2, 61, 44, 90, 7, 23, 58, 11, 3, 70, 29, 66, 12, 95, 40, 8, 51, 19]

CHARACTERS = ["<unk>", "<s>", "</s>"] + [chr(ord("!") + i) for i in range(VOCAB - 3)]
TEXT = "Sums-of-squares:3+4=7;What-is-read?(x*x)" * 3
TEXT_IDS = [CHARACTERS.index(c) for c in TEXT]

BASE = dict(hidden_size=WIDTH, intermediate_size=FF, num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS, vocab_size=VOCAB, max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-6, attention_dropout=0.0, tie_word_embeddings=False,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=32)
GEMMA = dict(hidden_activation="gelu_pytorch_tanh", head_dim=32, query_pre_attn_scalar=32,
             tie_word_embeddings=True)

PLAIN_ROPE = dict(rope_type="default", rope_theta=10000.0)
LONG_ROPE = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=16)
YARN_ROPE = dict(rope_type="yarn", rope_theta=150000.0, factor=8.0, beta_fast=32.0, beta_slow=1.0,
                 original_max_position_embeddings=16, truncate=False)
GEMMA4 = dict(head_dim=16, global_head_dim=32, sliding_window=6, tie_word_embeddings=True,
              hidden_activation="gelu_pytorch_tanh", rope_parameters=dict(
                  full_attention=dict(rope_type="proportional", rope_theta=1e6,
                                      partial_rotary_factor=0.25),
                  sliding_attention=dict(rope_type="default", rope_theta=10000.0)))
EXPERTS = dict(num_experts_per_tok=2, rope_parameters=PLAIN_ROPE)

ENCODERS = ("embeddinggemma", "modernbert", "bert", "qwen3-embedding")
POOLING = {"qwen3-embedding": 3}  # of decoders that are read as encoders: the last row
DENSE = 80  # width between the two matrices behind EmbeddingGemma's mean


def layer_types(letters):
    return [dict(L="sliding_attention", F="full_attention")[letter] for letter in letters]


# name -> architecture in GGUF, transformers class and configuration, number of layers
FAMILIES = {
    "llama": ("llama", "Llama", dict(rope_parameters=LLAMA3_ROPE), 3),
    "smollm": ("llama", "Llama", dict(tie_word_embeddings=True, num_key_value_heads=4,
                                      rope_parameters=dict(rope_type="default",
                                                           rope_theta=10000.0)), 3),
    "mistral": ("llama", "Mistral", dict(head_dim=32, sliding_window=9,
                                         rope_parameters=PLAIN_ROPE), 3),
    "mixtral": ("llama", "Mixtral", dict(EXPERTS, num_local_experts=5), 3),
    "smollm3": ("smollm3", "SmolLM3", dict(tie_word_embeddings=True, rope_parameters=dict(
        rope_type="default", rope_theta=5e6)), 5),
    "qwen2moe": ("qwen2moe", "Qwen2Moe", dict(EXPERTS, num_experts=5, moe_intermediate_size=32,
                                              shared_expert_intermediate_size=48), 3),
    "qwen3moe": ("qwen3moe", "Qwen3Moe", dict(EXPERTS, num_experts=7, moe_intermediate_size=32,
                                              num_experts_per_tok=3, norm_topk_prob=True,
                                              head_dim=32), 3),
    "gpt-oss": ("gpt-oss", "GptOss", dict(EXPERTS, num_local_experts=5, head_dim=32,
                                          sliding_window=6, rope_parameters=YARN_ROPE), 4),
    "qwen2": ("qwen2", "Qwen2", dict(rope_parameters=dict(rope_type="default",
                                                          rope_theta=1e6)), 3),
    "qwen3": ("qwen3", "Qwen3", dict(head_dim=32, rope_parameters=dict(rope_type="default",
                                                                       rope_theta=1e6)), 3),
    "qwen3-embedding": ("qwen3", "Qwen3", dict(head_dim=32, tie_word_embeddings=True,
                                               rope_parameters=dict(rope_type="default",
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
    "gemma3n": ("gemma3n", "Gemma3n", dict(
        layer_types=layer_types("LLFLLF"), head_dim=32, sliding_window=6, tie_word_embeddings=True,
        intermediate_size=[FF] * 6, num_kv_shared_layers=2, hidden_size_per_layer_input=12,
        vocab_size_per_layer_input=VOCAB, laurel_rank=8, altup_num_inputs=4, altup_active_idx=0,
        activation_sparsity_pattern=[0.7, 0.7, 0.0, 0.0, 0.0, 0.0], final_logit_softcapping=3.0,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1e6),
                             sliding_attention=dict(rope_type="default",
                                                    rope_theta=10000.0))), 6),
    "gemma4": ("gemma4", "Gemma4", dict(
        GEMMA4, layer_types=layer_types("LLFLLFF"), final_logit_softcapping=3.0, num_kv_shared_layers=3, hidden_size_per_layer_input=12,
        vocab_size_per_layer_input=VOCAB, use_double_wide_mlp=True), 7),
    "gemma4-dense": ("gemma4", "Gemma4", dict(
        GEMMA4, layer_types=layer_types("LFLF"), hidden_size_per_layer_input=0, attention_k_eq_v=True,
        num_global_key_value_heads=1), 4),
    "embeddinggemma": ("gemma-embedding", "Gemma3", dict(
        GEMMA, sliding_window=12, use_bidirectional_attention=True, rope_parameters=dict(
            full_attention=dict(rope_type="default", rope_theta=1e6),
            sliding_attention=dict(rope_type="default", rope_theta=10000.0))), 7),
    "modernbert": ("modern-bert", "ModernBert", dict(
        global_attn_every_n_layers=3, local_attention=8, norm_eps=1e-5,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=160000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=10000.0))), 5),
    "lfm2": ("lfm2", "Lfm2", dict(
        layer_types=["conv", "full_attention", "conv", "conv", "full_attention"], conv_L_cache=3,
        block_auto_adjust_ff_dim=False, norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6)), 5),
    "phi3": ("phi3", "Phi3", dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0),
                                  sliding_window=9), 3),
    "phi3-longrope": ("phi3", "Phi3", dict(original_max_position_embeddings=16, rope_parameters=dict(
        LONG_ROPE, long_factor=[1.0, 1.1, 1.3, 1.7, 2.3, 3.1, 4.5, 6.0],
        short_factor=[1.0, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3])), 3),
    "phi4-mini": ("phi3", "Phi3", dict(original_max_position_embeddings=16,
                                       tie_word_embeddings=True, rope_parameters=dict(
        LONG_ROPE, partial_rotary_factor=0.75, long_factor=[1.0, 1.1, 1.3, 1.7, 2.3, 3.1],
        short_factor=[1.0, 1.0, 1.05, 1.1, 1.15, 1.2])), 3),
    "bert": ("bert", "Bert", dict(layer_norm_eps=1e-12, type_vocab_size=2, hidden_act="gelu"), 3),
}


def sizes_of_layer(config, i):
    """Head size, key/value heads and feed-forward of a layer, and whether it shares states."""
    head, kv_heads = config.get("head_dim", HEAD), config["num_key_value_heads"]
    types = config.get("layer_types", ())
    if types and types[i] == "full_attention":
        head = config.get("global_head_dim", head)
        kv_heads = config.get("num_global_key_value_heads", kv_heads)
    shares = i >= len(types) - config.get("num_kv_shared_layers", 0) and len(types) > 0
    return head, kv_heads, 2 * FF if shares and config.get("use_double_wide_mlp") else FF, shares


def layer_shapes(name, i):
    """Tensors of one layer: transformers' name -> (GGUF's name, shape)."""
    kind = FAMILIES[name][1]
    config = dict(BASE, **FAMILIES[name][2])
    head, kv_heads, ff, shares = sizes_of_layer(config, i)
    q, kv = HEADS * head, kv_heads * head
    if kind == "ModernBert":
        shapes = {"attn.Wqkv.weight": ("attn_qkv.weight", (3 * WIDTH, WIDTH)),
                  "attn.Wo.weight": ("attn_output.weight", (WIDTH, WIDTH)),
                  "attn_norm.weight": ("attn_norm.weight", (WIDTH,)),
                  "mlp_norm.weight": ("ffn_norm.weight", (WIDTH,)),
                  "mlp.Wi.weight": ("ffn_up.weight", (2 * FF, WIDTH)),
                  "mlp.Wo.weight": ("ffn_down.weight", (WIDTH, FF))}
        return {k: v for k, v in shapes.items() if i > 0 or k != "attn_norm.weight"}
    if kind == "Lfm2":
        return lfm2_shapes(config["layer_types"][i] == "conv", config, q, kv)
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
              "mlp.down_proj.weight": ("ffn_down.weight", (WIDTH, ff)),
              "input_layernorm.weight": ("attn_norm.weight", (WIDTH,))}
    if kind == "Phi3":
        shapes["self_attn.qkv_proj.weight"] = ("attn_qkv.weight", (q + 2 * kv, WIDTH))
        shapes["mlp.gate_up_proj.weight"] = ("ffn_up.weight", (2 * FF, WIDTH))
    else:
        alike = config.get("attention_k_eq_v") and head == config.get("global_head_dim")
        for letter, rows in (("q", q), ("k", kv), ("v", kv)):
            if letter != "q" and shares or letter == "v" and alike:
                continue
            shapes[f"self_attn.{letter}_proj.weight"] = (f"attn_{letter}.weight", (rows, WIDTH))
            if kind in ("Qwen2", "Qwen2Moe", "GptOss"):
                shapes[f"self_attn.{letter}_proj.bias"] = (f"attn_{letter}.bias", (rows,))
        shapes["mlp.gate_proj.weight"] = ("ffn_gate.weight", (ff, WIDTH))
        shapes["mlp.up_proj.weight"] = ("ffn_up.weight", (ff, WIDTH))
    if "num_experts_per_tok" in config:
        shapes = {k: v for k, v in shapes.items() if not k.startswith("mlp.")}
        shapes.update(expert_shapes(kind, config))
    if kind == "GptOss":
        shapes["self_attn.sinks"] = ("attn_sinks.weight", (HEADS,))
        shapes["self_attn.o_proj.bias"] = ("attn_output.bias", (WIDTH,))
        shapes["post_attention_layernorm.weight"] = ("post_attention_norm.weight", (WIDTH,))
        return shapes
    if kind == "Gemma3n":
        shapes.update(altup_shapes(config))
    if kind == "Gemma4":
        shapes["layer_scalar"] = ("layer_output_scale.weight", (1,))
    if kind in ("Gemma3n", "Gemma4"):
        per_layer = config["hidden_size_per_layer_input"]
        if per_layer:
            shapes["per_layer_input_gate.weight"] = ("inp_gate.weight", (per_layer, WIDTH))
            shapes["per_layer_projection.weight"] = ("proj.weight", (WIDTH, per_layer))
            shapes["post_per_layer_input_norm.weight"] = ("post_norm.weight", (WIDTH,))
    if kind in ("Qwen3", "Qwen3Moe", "Gemma3", "Gemma3n", "Gemma4"):
        shapes["self_attn.q_norm.weight"] = ("attn_q_norm.weight", (head,))
    if kind in ("Qwen3", "Qwen3Moe", "Gemma3", "Gemma3n", "Gemma4") and not shares:
        shapes["self_attn.k_norm.weight"] = ("attn_k_norm.weight", (head,))
    if kind in ("Gemma2", "Gemma3", "Gemma3n", "Gemma4"):
        shapes["post_attention_layernorm.weight"] = ("post_attention_norm.weight", (WIDTH,))
        shapes["pre_feedforward_layernorm.weight"] = ("ffn_norm.weight", (WIDTH,))
        shapes["post_feedforward_layernorm.weight"] = ("post_ffw_norm.weight", (WIDTH,))
    else:
        shapes["post_attention_layernorm.weight"] = ("ffn_norm.weight", (WIDTH,))
    return shapes


def altup_shapes(config):
    n, rank = config["altup_num_inputs"], config["laurel_rank"]
    return {"altup.modality_router.weight": ("altup_router.weight", (n, WIDTH)),
            "altup.router_norm.weight": ("altup_router_norm.weight", (WIDTH,)),
            "altup.prediction_coefs.weight": ("altup_predict_coef.weight", (n * n, n)),
            "altup.correction_coefs.weight": ("altup_correct_coef.weight", (n, n)),
            "altup.correct_output_scale": ("altup_correct_scale.weight", (WIDTH,)),
            "laurel.linear_left.weight": ("laurel_l.weight", (rank, WIDTH)),
            "laurel.linear_right.weight": ("laurel_r.weight", (WIDTH, rank)),
            "laurel.post_laurel_norm.weight": ("laurel_post_norm.weight", (WIDTH,))}


def lfm2_shapes(convolves, config, q, kv):
    shapes = {"operator_norm.weight": ("attn_norm.weight", (WIDTH,)),
              "ffn_norm.weight": ("ffn_norm.weight", (WIDTH,)),
              "feed_forward.w1.weight": ("ffn_gate.weight", (FF, WIDTH)),
              "feed_forward.w3.weight": ("ffn_up.weight", (FF, WIDTH)),
              "feed_forward.w2.weight": ("ffn_down.weight", (WIDTH, FF))}
    if convolves:
        length = config["conv_L_cache"]
        return {**shapes, "conv.in_proj.weight": ("shortconv.in_proj.weight", (3 * WIDTH, WIDTH)),
                "conv.conv.weight": ("shortconv.conv.weight", (WIDTH, 1, length)),
                "conv.out_proj.weight": ("shortconv.out_proj.weight", (WIDTH, WIDTH))}
    for letter, rows in (("q", q), ("k", kv), ("v", kv)):
        shapes[f"self_attn.{letter}_proj.weight"] = (f"attn_{letter}.weight", (rows, WIDTH))
    return {**shapes, "self_attn.out_proj.weight": ("attn_output.weight", (WIDTH, q)),
            "self_attn.q_layernorm.weight": ("attn_q_norm.weight", (HEAD,)),
            "self_attn.k_layernorm.weight": ("attn_k_norm.weight", (HEAD,))}


def expert_shapes(kind, config):
    """The feed-forward of a layer with experts; a name with | is cut in two by rows."""
    n = config.get("num_local_experts") or config["num_experts"]
    ff = config.get("moe_intermediate_size", FF)
    both = "ffn_gate_exps.{0}|ffn_up_exps.{0}"
    if kind == "GptOss":
        return {"mlp.router.weight": ("ffn_gate_inp.weight", (n, WIDTH)),
                "mlp.router.bias": ("ffn_gate_inp.bias", (n,)),
                "mlp.experts.gate_up_proj": (both.format("weight"), (n, WIDTH, 2 * ff)),
                "mlp.experts.gate_up_proj_bias": (both.format("bias"), (n, 2 * ff)),
                "mlp.experts.down_proj": ("ffn_down_exps.weight", (n, ff, WIDTH)),
                "mlp.experts.down_proj_bias": ("ffn_down_exps.bias", (n, WIDTH))}
    shapes = {"mlp.gate.weight": ("ffn_gate_inp.weight", (n, WIDTH)),
              "mlp.experts.gate_up_proj": (both.format("weight"), (n, 2 * ff, WIDTH)),
              "mlp.experts.down_proj": ("ffn_down_exps.weight", (n, WIDTH, ff))}
    shared = config.get("shared_expert_intermediate_size")
    if shared:
        shapes["mlp.shared_expert_gate.weight"] = ("ffn_gate_inp_shexp.weight", (1, WIDTH))
        shapes["mlp.shared_expert.gate_proj.weight"] = ("ffn_gate_shexp.weight", (shared, WIDTH))
        shapes["mlp.shared_expert.up_proj.weight"] = ("ffn_up_shexp.weight", (shared, WIDTH))
        shapes["mlp.shared_expert.down_proj.weight"] = ("ffn_down_shexp.weight", (WIDTH, shared))
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
    elif kind == "ModernBert":
        shapes = {"embeddings.tok_embeddings.weight": ("token_embd.weight", (VOCAB, WIDTH)),
                  "embeddings.norm.weight": ("token_embd_norm.weight", (WIDTH,)),
                  "final_norm.weight": ("output_norm.weight", (WIDTH,))}
        prefix = "layers"
    elif name in ENCODERS:
        shapes = {"embed_tokens.weight": ("token_embd.weight", (VOCAB, WIDTH)),
                  "norm.weight": ("output_norm.weight", (WIDTH,))}
        if name == "embeddinggemma":
            shapes["dense.0.weight"] = ("dense_2.weight", (DENSE, WIDTH))
            shapes["dense.1.weight"] = ("dense_3.weight", (WIDTH, DENSE))
        prefix = "layers"
    else:
        shapes = {"model.embed_tokens.weight": ("token_embd.weight", (VOCAB, WIDTH)),
                  "model.norm.weight": ("output_norm.weight", (WIDTH,))}
        if kind == "Lfm2":
            del shapes["model.norm.weight"]
            shapes["model.embedding_norm.weight"] = ("token_embd_norm.weight", (WIDTH,))
        per_layer = extra.get("hidden_size_per_layer_input")
        if per_layer:
            rows = per_layer * n_layers
            shapes["model.embed_tokens_per_layer.weight"] = ("per_layer_token_embd.weight",
                                                             (VOCAB, rows))
            shapes["model.per_layer_model_projection.weight"] = ("per_layer_model_proj.weight",
                                                                 (rows, WIDTH))
            shapes["model.per_layer_projection_norm.weight"] = ("per_layer_proj_norm.weight",
                                                                (per_layer,))
        for i in range(extra.get("altup_num_inputs", 1) - 1):
            for theirs, ours in (("altup_projections", "altup_proj"),
                                 ("altup_unembed_projections", "altup_unembd_proj")):
                shapes[f"model.{theirs}.{i}.weight"] = (f"{ours}.weight#{i}", (WIDTH, WIDTH))
        if not dict(BASE, **extra)["tie_word_embeddings"]:
            shapes["lm_head.weight"] = ("output.weight", (VOCAB, WIDTH))
        prefix = "model.layers"
    for i in range(n_layers):
        for theirs, (ours, shape) in layer_shapes(name, i).items():
            names = tuple(f"blk.{i}.{part}" for part in ours.split("|"))
            shapes[f"{prefix}.{i}.{theirs}"] = (names, shape)
    return {theirs: (ours if isinstance(ours, tuple) else (ours,), shape)
            for theirs, (ours, shape) in shapes.items()}


def weights(name):
    """transformers' name -> f32 array. Seeded by names, so that order does not matter."""
    arrays = {}
    for theirs, (_, shape) in all_shapes(name).items():
        rng = np.random.default_rng(zlib.crc32(f"{name} {theirs}".encode()))
        array = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.25)
        if "norm" in theirs.lower() and theirs.endswith("weight") or "scalar" in theirs:
            offset = 0 if FAMILIES[name][1] in ADDS_ONE else 1
            array = array * np.float32(0.5) + np.float32(offset)
        if FAMILIES[name][1] == "GptOss" and theirs.endswith("_proj") and "experts" in theirs:
            array = fp4_numbers(rng, shape, 0.25 if "gate_up" in theirs else 0.03125)
        arrays[theirs] = array
    return arrays


ADDS_ONE = ("Gemma", "Gemma2", "Gemma3")  # their norms multiply by 1 + weight
FP4 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6], np.float32)  # and their negatives: E2M1


def fp4_numbers(rng, shape, scale):
    """Numbers that MXFP4 holds exactly; large enough for the clamp of gpt-oss to act."""
    numbers = np.concatenate([FP4, -FP4])[rng.integers(0, 16, shape)]
    return (numbers * np.float32(scale)).astype(np.float32)


def mxfp4_codes(array):
    """Powers of two of blocks of 32, and the code of each element."""
    rows = array.reshape(-1, 32)
    exponent = np.floor(np.log2(np.abs(rows).max(1))) - 2  # the largest magnitude is 4 or 6
    scaled = rows / 2.0 ** exponent[:, None]
    codes = np.argmin(np.abs(np.abs(scaled)[:, :, None] - FP4), 2) + 8 * np.signbit(scaled)
    assert np.array_equal(np.concatenate([FP4, -FP4])[codes], scaled)
    return (exponent + 127).astype(np.uint8), codes


def mxfp4_blocks(array):
    """Blocks in the layout of GGUF: a power of two, then element i beside element i + 16."""
    exponents, codes = mxfp4_codes(array)
    packed = (codes[:, :16] | codes[:, 16:] << 4).astype(np.uint8)
    return np.concatenate([exponents[:, None], packed], 1).reshape(*array.shape[:-1], -1)


def permuted(array, n_heads):
    """Rows of a llama query or key in the order of interleaved pairs."""
    rows = array.reshape(n_heads, 2, array.shape[0] // n_heads // 2, *array.shape[1:])
    return rows.swapaxes(1, 2).reshape(array.shape)


def converted(name, theirs, array):
    """What the conversion to GGUF does to a weight."""
    kind = FAMILIES[name][1]
    kv = dict(BASE, **FAMILIES[name][2])["num_key_value_heads"]
    interleaved = kind in ("Llama", "Mistral", "Mixtral", "SmolLM3")
    if interleaved and ".q_proj." in theirs:
        return permuted(array, HEADS)
    if interleaved and ".k_proj." in theirs:
        return permuted(array, kv)
    if kind == "GptOss" and ".experts." in theirs:
        array = array if theirs.endswith("bias") else array.swapaxes(1, 2)
        if "gate_up" in theirs:  # gate and up alternate
            array = np.concatenate([array[:, ::2], array[:, 1::2]], 1)
    if theirs.endswith("conv.conv.weight"):
        return array[:, 0]
    if kind in ADDS_ONE and "norm" in theirs:
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
    architecture, kind = FAMILIES[name][:2]
    sizes = [sizes_of_layer(config, i) for i in range(n_layers)]
    head = sizes[-1][0]
    writer.add_block_count(n_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length([size[2] for size in sizes] if kind == "Gemma4" else FF)
    writer.add_head_count(HEADS)
    if kind == "ModernBert":
        writer.add_layer_norm_eps(config["norm_eps"])
        writer.add_sliding_window(config["local_attention"])
        writer.add_rope_freq_base(config["rope_parameters"]["full_attention"]["rope_theta"])
        return
    if FAMILIES[name][1] == "Bert":
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)
        return
    kv_heads = config["num_key_value_heads"]
    if kind == "Lfm2":
        kv_heads = [0 if t == "conv" else kv_heads for t in config["layer_types"]]
        writer.add_uint32(f"{architecture}.shortconv.l_cache", config["conv_L_cache"])
    writer.add_head_count_kv([size[1] for size in sizes] if kind == "Gemma4" else kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    if kind == "Gemma3n":
        writer.add_uint32(f"{architecture}.altup.num_inputs", config["altup_num_inputs"])
        writer.add_uint32(f"{architecture}.altup.active_idx", config["altup_active_idx"])
        writer.add_array(f"{architecture}.activation_sparsity_scale", [
            NormalDist().inv_cdf(share) if share > 0 else float("-inf")
            for share in config["activation_sparsity_pattern"]])
    if kind in ("Gemma3n", "Gemma4"):
        for key in ("attention.key_length_swa", "attention.value_length_swa",
                    "rope.dimension_count_swa"):
            writer.add_uint32(f"{architecture}.{key}", config["head_dim"])
        writer.add_array(f"{architecture}.attention.sliding_window_pattern",
                         [t == "sliding_attention" for t in config["layer_types"]])
        writer.add_uint32(f"{architecture}.attention.shared_kv_layers",
                          config.get("num_kv_shared_layers", 0))
        writer.add_uint32(f"{architecture}.embedding_length_per_layer_input",
                          config["hidden_size_per_layer_input"])
    rope = config["rope_parameters"]
    writer.add_rope_dimension_count(int(head * rope.get("partial_rotary_factor", 1)))
    writer.add_layer_norm_rms_eps(config.get("norm_eps", config["rms_norm_eps"]))
    full = rope.get("full_attention", rope)
    writer.add_rope_freq_base(full["rope_theta"])
    if full["rope_type"] == "linear":
        writer.add_float32(f"{architecture}.rope.scaling.factor", full["factor"])
        writer.add_string(f"{architecture}.rope.scaling.type", "linear")
    if full["rope_type"] == "yarn":
        writer.add_float32(f"{architecture}.rope.scaling.factor", full["factor"])
        writer.add_string(f"{architecture}.rope.scaling.type", "yarn")
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
    if full["rope_type"] == "longrope":
        old = full["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(old)
        writer.add_rope_scaling_attn_factors(
            float(np.sqrt(1 + np.log(CONTEXT / old) / np.log(old))))
    if "sliding_window" in config:
        writer.add_sliding_window(config["sliding_window"])
    if "num_experts_per_tok" in config:
        writer.add_expert_count(config.get("num_local_experts") or config["num_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config.get("moe_intermediate_size", FF))
        if "shared_expert_intermediate_size" in config:
            writer.add_expert_shared_feed_forward_length(
                config["shared_expert_intermediate_size"])
    if "attn_logit_softcapping" in config:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    if "final_logit_softcapping" in config:
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def write_gguf(name, path, experts=None, characters=False, extra=(), flags=None, pooling=None):
    """The model as a GGUF file with a plain vocabulary, or one of characters; experts="MXFP4": their
    matrices so; extra tensors, more keys (bool or text), another pooling than the family's."""
    from gguf import GGMLQuantizationType, GGUFWriter
    architecture, _, own, n_layers = FAMILIES[name]
    config = dict(BASE, **own)
    writer = GGUFWriter(str(path), architecture)
    write_keys(writer, name, n_layers, config)
    if pooling or name in POOLING:
        writer.add_uint32(f"{architecture}.pooling_type", pooling or POOLING[name])
    for key, value in (flags or {}).items():
        (writer.add_bool if isinstance(value, bool) else writer.add_string)(key, value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(CHARACTERS if characters else [f"t{i}" for i in range(VOCAB)])
    if characters:
        writer.add_add_bos_token(False)
        writer.add_add_space_prefix(False)
    writer.add_token_scores([-float(i) for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    rope = config.get("rope_parameters", {})
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config.get("head_dim", HEAD)))
    full = rope.get("full_attention", {})
    if full.get("rope_type") == "proportional":  # pairs past the share do not turn
        pairs = np.arange(config["global_head_dim"] // 2)
        turned = pairs < len(pairs) * full["partial_rotary_factor"]
        writer.add_tensor("rope_freqs.weight", np.where(turned, 1, 1e30).astype(np.float32))
    if rope.get("rope_type") == "longrope":
        for length in ("long", "short"):
            writer.add_tensor(f"rope_factors_{length}.weight",
                              np.array(rope[f"{length}_factor"], np.float32))
    shapes, stacks = all_shapes(name), {}
    for theirs, array in weights(name).items():
        array = converted(name, theirs, array)
        names = shapes[theirs][0]
        if "#" in names[0]:  # one of a stack
            stacks.setdefault(names[0].split("#")[0], []).append(array)
            continue
        for ours, part in zip(names, np.split(array, len(names), axis=1) if names[1:] else [array]):
            if experts == "MXFP4" and ours.endswith("_exps.weight"):
                writer.add_tensor(ours, mxfp4_blocks(np.ascontiguousarray(part)),
                                  raw_dtype=GGMLQuantizationType.MXFP4)
            else:
                writer.add_tensor(ours, np.ascontiguousarray(part))
    for ours, arrays in stacks.items():
        writer.add_tensor(ours, np.stack(arrays))
    for ours, array in extra:
        writer.add_tensor(ours, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


MODEL_TYPES = {"Gemma3": "gemma3_text", "Gemma3n": "gemma3n_text", "Gemma4": "gemma4_text",
               "Qwen2Moe": "qwen2_moe", "Qwen3Moe": "qwen3_moe", "GptOss": "gpt_oss"}


def older(config, kind):
    """The configuration as transformers 4 wrote it."""
    config = dict(config)
    if kind == "Lfm2":
        types = config.pop("layer_types")
        config["full_attn_idxs"] = [i for i, t in enumerate(types) if t == "full_attention"]
        config["block_ff_dim"] = config.pop("intermediate_size")
        config["tie_embedding"] = config.pop("tie_word_embeddings")
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return config
    local = rope.get("sliding_attention")
    rope = dict(rope.get("full_attention", rope))
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    if kind == "ModernBert":
        config["global_rope_theta"] = config.pop("rope_theta")
        config["local_rope_theta"] = local["rope_theta"]
    elif local:
        config["rope_local_base_freq"] = local["rope_theta"]
    if kind == "Gemma3":
        config["sliding_window_pattern"] = 6
    return config


def folder_config(name, as_older=False):
    _, kind, extra, n_layers = FAMILIES[name]
    config = dict(BASE, **extra, num_hidden_layers=n_layers, architectures=[f"{kind}ForCausalLM"],
                  model_type=MODEL_TYPES.get(kind, kind.lower()))
    return older(config, kind) if as_older else config


def stored(array, dtype):
    """Bytes of an array; BF16 rounds to nearest even. Bytes stay bytes."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).tobytes()
    if dtype == "BF16":
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
        return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(array, {"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def character_tokenizer():
    """A tokenizer.json of CHARACTERS."""
    return json.dumps(dict(
        added_tokens=[dict(id=i, content=CHARACTERS[i], special=True) for i in range(3)],
        normalizer=dict(type="Replace", pattern=dict(String=" "), content="\u2581"),
        model=dict(type="BPE", vocab={t: i for i, t in enumerate(CHARACTERS)}, merges=[],
                   unk_token="<unk>", byte_fallback=True)))


def write_safetensors(path, arrays, dtype, padding=0):
    header, data = {}, b""
    for name, array in arrays.items():
        part = stored(array, dtype)
        header[name] = dict(dtype="U8" if array.dtype == np.uint8 else dtype, shape=list(array.shape),
                            data_offsets=[len(data), len(data) + len(part)])
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + padding)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def experts_apart(kind, arrays):
    """Packed experts as most published folders have them: each matrix a tensor."""
    block = "block_sparse_moe" if kind == "Mixtral" else "mlp"
    names = ("w1", "w3", "w2") if kind == "Mixtral" else ("gate_proj", "up_proj", "down_proj")
    result = {}
    for key, array in arrays.items():
        layer, _, what = key.partition(".mlp.")
        if what == "experts.gate_up_proj":
            half = array.shape[1] // 2
            parts = [(names[0], array[:, :half]), (names[1], array[:, half:])]
        elif what == "experts.down_proj":
            parts = [(names[2], array)]
        else:
            result[key.replace(".mlp.gate.", f".{block}.gate.")] = array
            continue
        for name, stack in parts:
            for i, matrix in enumerate(stack):
                result[f"{layer}.{block}.experts.{i}.{name}.weight"] = matrix
    return result


def experts_in_mxfp4(arrays):
    """Experts of gpt-oss as its folders have them: pairs of neighbours in a byte, scales apart."""
    result = {}
    for key, array in arrays.items():
        if not key.endswith(("experts.gate_up_proj", "experts.down_proj")):
            result[key] = array
            continue
        rows = array.swapaxes(1, 2)
        exponents, codes = mxfp4_codes(np.ascontiguousarray(rows))
        shape = (*rows.shape[:2], rows.shape[2] // 32)
        result[f"{key}_scales"] = exponents.reshape(shape)
        packed = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
        result[f"{key}_blocks"] = packed.reshape(*shape, 16)
    return result


def write_modules(name, folder, arrays, dtype="F32"):
    """What sentence-transformers writes beside a model that embeds; takes the matrices out of
    arrays."""
    dense = [arrays.pop(key) for key in sorted(arrays) if key.startswith("dense.")]
    if name not in POOLING and not dense:
        return
    mode = {1: "mean_tokens", 2: "cls_token", 3: "lasttoken"}[POOLING.get(name, 1)]
    modules = [("Transformer", "", None), ("Pooling", "1_Pooling", None)]
    modules += [("Dense", f"{i + 2}_Dense", matrix) for i, matrix in enumerate(dense)]
    modules.append(("Normalize", f"{len(modules)}_Normalize", None))
    for kind, path, matrix in modules:
        (folder / path).mkdir(exist_ok=True)
        if kind == "Pooling":
            text = dict(word_embedding_dimension=WIDTH, **{
                f"pooling_mode_{m}": m == mode
                for m in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")})
            (folder / path / "config.json").write_text(json.dumps(text))
        if kind == "Dense":
            text = dict(in_features=matrix.shape[1], out_features=matrix.shape[0], bias=False,
                        activation_function="torch.nn.modules.linear.Identity")
            (folder / path / "config.json").write_text(json.dumps(text))
            write_safetensors(folder / path / "model.safetensors", {"linear.weight": matrix}, dtype)
    (folder / "modules.json").write_text(json.dumps([
        dict(idx=i, name=str(i), path=path, type=f"sentence_transformers.models.{kind}")
        for i, (kind, path, _) in enumerate(modules)]))


def write_folder(name, folder, dtype="F32", n_shards=1, as_older=False, padding=0, experts=None):
    """The model as a folder of config.json and safetensors, without a tokenizer. experts: "apart"
    or "MXFP4", another way to keep them."""
    folder.mkdir(parents=True, exist_ok=True)
    config, arrays = folder_config(name, as_older), weights(name)
    write_modules(name, folder, arrays, dtype)
    if experts == "apart":
        arrays = experts_apart(FAMILIES[name][1], arrays)
    if experts == "MXFP4":
        arrays = experts_in_mxfp4(arrays)
        config["quantization_config"] = dict(quant_method="mxfp4")
    (folder / "config.json").write_text(json.dumps(config))
    if n_shards == 1:
        write_safetensors(folder / "model.safetensors", arrays, dtype, padding)
        return
    names, files = list(arrays), {}
    for i in range(n_shards):
        file = f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        part = {n: arrays[n] for n in names[i::n_shards]}
        write_safetensors(folder / file, part, dtype, padding)
        files.update({n: file for n in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(weight_map=files)))


def write_tokenizer(folder):
    """A token for each byte, as far as they go."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(93)]
    (folder / "tokenizer.json").write_text(json.dumps(dict(
        added_tokens=[dict(id=i, content=tokens[i], special=True) for i in range(3)],
        normalizer=dict(type="Replace", pattern=dict(String=" "), content="\u2581"),
        model=dict(type="BPE", vocab={t: i for i, t in enumerate(tokens)}, merges=[],
                   unk_token="<unk>", byte_fallback=True))))
