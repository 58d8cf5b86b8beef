# SPDX-License-Identifier: Apache-2.0
"""Heads that rerank on tiny random models: what the rows of the model become. The rows themselves
are compared with transformers elsewhere (test_families.py), whole heads of folders too
(test_saved_folders.py)."""
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from logits_probe import logits_of

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import WIDTH, write_gguf  # noqa: E402

RNG = np.random.default_rng(11)
DENSE = RNG.normal(0, 0.2, (WIDTH, WIDTH)).astype(np.float32)
NORM = RNG.normal(1, 0.3, WIDTH).astype(np.float32)
OUTPUT = RNG.normal(0, 0.3, (2, WIDTH)).astype(np.float32)
QUERY, DOCUMENTS = "t5 t9", ["t1 t7 t20", "t33", "t40 t41 t42 t43"]


def call(*arguments):
    return subprocess.run([str(BUILD / "bin/switchyard"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=300)


def ids_of(model, text, *flags):
    result = call("tokenize", model, text, "--ids", *flags)
    assert result.returncode == 0, result.stderr
    return [int(i) for i in result.stdout.split()]


def scores(model):
    words = [word for d in DOCUMENTS for word in ("--document", d)]
    result = call("rerank", model, "--query", QUERY, *words, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["method"] == "classifier"
    return {r["document"]: r["score"] for r in found["results"]}


@pytest.mark.parametrize("mean", [False, True])
def test_modernbert_head(mean, tmp_path):
    """A dense layer with GELU, a norm, one row of weights, over the first row or the mean."""
    path = tmp_path / "model.gguf"
    write_gguf("modernbert", path, extra=[("cls.weight", DENSE), ("cls.norm.weight", NORM),
                                          ("cls.output.weight", OUTPUT[:1]),
                                          ("cls.output.bias", np.array([0.25], np.float32))],
               flags={"switchyard.classifier.mean": True} if mean else {})
    first = ids_of(path, QUERY)
    for document, score in scores(path).items():
        second = ids_of(path, document)
        rows = logits_of(first + (second[1:] if second[0] == first[0] else second), path)
        x = DENSE @ (rows.mean(axis=0) if mean else rows[0])
        x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * NORM
        assert score == pytest.approx(float(OUTPUT[0] @ x + 0.25), abs=1e-4)


TEMPLATE = "t3 {query} t4 {document} t2"


def test_a_decoder_says_yes_or_no(tmp_path):
    """Two rows of weights over the last row of a text that the file has a template of."""
    path = tmp_path / "model.gguf"
    write_gguf("qwen3-embedding", path, pooling=4, extra=[("cls.output.weight", OUTPUT)],
               flags={"tokenizer.chat_template.rerank": TEMPLATE})
    for document, score in scores(path).items():
        text = TEMPLATE.replace("{query}", QUERY).replace("{document}", document)
        yes, no = OUTPUT @ logits_of(ids_of(path, text), path)[-1]
        assert score == pytest.approx(1 / (1 + math.exp(no - yes)), abs=1e-5)


def test_a_decoder_without_a_template_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf("qwen3-embedding", path, pooling=4, extra=[("cls.output.weight", OUTPUT)])
    result = call("rerank", path, "--query", QUERY, "--document", "t1")
    assert result.returncode == 1 and "tokenizer.chat_template.rerank" in result.stderr


def test_a_decoder_that_pools_embeds_its_last_row(tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf("qwen3-embedding", path)
    texts = [QUERY, *DOCUMENTS]
    words = [word for text in texts for word in ("--text", text)]
    result = call("embed", path, *words, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["embeddings"]
    for text, one in zip(texts, found):
        row = logits_of(ids_of(path, text), path)[-1]
        assert np.abs(np.array(one["vector"]) - row / np.linalg.norm(row)).max() < 1e-5
    alone = json.loads(call("embed", path, "--text", QUERY, "--json").stdout)["embeddings"]
    assert alone == found[:1]  # company changes nothing
    write_gguf("qwen3", tmp_path / "plain.gguf")
    result = call("embed", tmp_path / "plain.gguf", "--text", "x")
    assert result.returncode == 1 and "decoder without a pooling" in result.stderr
    result = call("run", path, "t1", "-n", "1")
    assert result.returncode == 1 and "encoder" in result.stderr
