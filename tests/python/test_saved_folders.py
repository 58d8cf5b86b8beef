# SPDX-License-Identifier: Apache-2.0
"""Folders as transformers' own save_pretrained writes them: names, configuration and layout of
experts are its choice, not ours. Needs torch and transformers; skips without them."""
import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from logits_probe import logits_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import BASE, FAMILIES, IDS, weights, write_modules  # noqa: E402
from make_goldens import model_of  # noqa: E402

dump = functools.partial(logits_of, IDS)
GOLDENS = json.loads((SOURCE / "tests/families/goldens.json").read_text())


def call(*arguments):
    result = subprocess.run([str(BUILD / "bin/switchyard"), *map(str, arguments)],
                            capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_models_give_the_same_logits(name, tmp_path):
    folder = tmp_path / "folder"
    model_of(name).float().save_pretrained(folder)
    write_modules(name, folder, weights(name))
    golden = np.array(GOLDENS["rows"][name])
    scale = max(np.abs(golden).max(), 1)
    assert np.abs(dump(folder)[-len(golden):] - golden).max() < 2e-5 * scale
    call("quantize", folder, tmp_path / "out.gguf", "--type", "f32")
    assert np.abs(dump(tmp_path / "out.gguf")[-len(golden):] - golden).max() < 2e-5 * scale


def write_tokenizer(folder):
    """Words t3 ... t95, WordPiece with BERT's special tokens."""
    words = ["[CLS]", "[SEP]", "[UNK]"] + [f"t{i}" for i in range(3, 96)]
    special = [dict(id=i, content=words[i], special=True) for i in range(3)]
    piece = [dict(Sequence=dict(id=s, type_id=t)) for s, t in (("A", 0), ("B", 1))]
    mark = [dict(SpecialToken=dict(id=w, type_id=t)) for w, t in (("[CLS]", 0), ("[SEP]", 0), ("[SEP]", 1))]
    (folder / "tokenizer.json").write_text(json.dumps(dict(
        added_tokens=special,
        normalizer=dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True,
                        strip_accents=None, lowercase=True),
        pre_tokenizer=dict(type="BertPreTokenizer"),
        post_processor=dict(
            type="TemplateProcessing", single=[mark[0], piece[0], mark[1]],
            pair=[mark[0], piece[0], mark[1], piece[1], mark[2]],
            special_tokens={w: dict(id=w, ids=[i], tokens=[w]) for i, w in enumerate(words[:2])}),
        model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##",
                   max_input_chars_per_word=100, vocab={w: i for i, w in enumerate(words)}))))
    return {w: i for i, w in enumerate(words)}


HEADS = {"bert": ("Bert", {}), "modernbert-cls": ("ModernBert", dict(classifier_pooling="cls")),
         "modernbert-mean": ("ModernBert", dict(classifier_pooling="mean", classifier_bias=True))}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", HEADS)
def test_cross_encoders_give_the_same_scores(name, dtype, tmp_path):
    kind, more = HEADS[name]
    _, _, extra, n_layers = FAMILIES[name.partition("-")[0]]
    torch.manual_seed(5)
    config = getattr(transformers, f"{kind}Config")(
        **dict(BASE, **extra, **more), num_hidden_layers=n_layers, num_labels=1)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 1)
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    model.double()
    ids = write_tokenizer(tmp_path)
    query, documents = "t5 t9 t30", ["t10 t70 t20", "t33", "t40 t41 t42 t43"]
    words = [word for d in documents for word in ("--document", d)]
    found = json.loads(call("rerank", tmp_path, "--query", query, *words, "--json"))
    assert found["method"] == "classifier"
    for result in found["results"]:
        first = [ids["[CLS]"], *(ids[w] for w in query.split()), ids["[SEP]"]]
        second = [*(ids[w] for w in result["document"].split()), ids["[SEP]"]]
        types = dict(token_type_ids=torch.tensor([[0] * len(first) + [1] * len(second)])) \
            if kind == "Bert" else {}
        with torch.no_grad():
            wanted = float(model(torch.tensor([first + second]), **types).logits[0, 0])
        # the reference delegate widens bf16; cpu-xnnpack may round activations beside it
        tolerance = 1e-4 if dtype == "float32" else 3e-2
        assert abs(result["score"] - wanted) < tolerance * max(1, abs(wanted)), (result, wanted)
