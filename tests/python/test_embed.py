# SPDX-License-Identifier: Apache-2.0
"""Embeddings and reranking with a real encoder, all-MiniLM-L6-v2, against torch and numpy."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
REFERENCE = SHARED / "data/ref/minilm-ref.json"
sys.path.insert(0, str(SOURCE / "tests/families"))
import minilm  # noqa: E402

needs_model = pytest.mark.skipif(minilm.folder() is None, reason="tests/requirements-models.txt "
                                 "is not installed")
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="the shared data is absent")
HEAD = np.random.default_rng(7)
WIDTH = 384
CLASSIFIER = [("cls.weight", HEAD.normal(0, 0.1, (WIDTH, WIDTH))), ("cls.bias", HEAD.normal(size=WIDTH)),
              ("cls.output.weight", HEAD.normal(size=(1, WIDTH))), ("cls.output.bias", [0.25])]


def call(*arguments, stdin=None):
    command = [str(BUILD / "bin/switchyard"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, input=stdin)


def output(*arguments, **keywords):
    result = call(*arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm")
    minilm.write_gguf(folder / "plain.gguf")
    minilm.write_gguf(folder / "classifier.gguf", CLASSIFIER)
    return folder


def embed(model, texts, *flags):
    texts = [word for text in texts for word in ("--text", text)]
    return json.loads(output("embed", model, *texts, "--json", *flags))["embeddings"]


@needs_model
@needs_reference
@pytest.mark.parametrize("delegate", ["reference", "cpu-xnnpack"])
def test_embeddings_are_those_of_torch(models, delegate):
    sentences = json.loads(REFERENCE.read_text())["sentences"]
    flags = [] if delegate == "reference" else ["--plugins", BUILD / "plugins"]
    found = embed(models / "plain.gguf", [s["text"] for s in sentences], *flags)
    for sentence, one in zip(sentences, found):
        assert one["n_tokens"] == len(sentence["input_ids"])
        wanted = np.array(sentence["embedding"])
        assert np.abs(np.array(one["vector"]) - wanted).max() < 1e-4
        ids = output("tokenize", models / "plain.gguf", sentence["text"], "--ids").split()
        assert [int(i) for i in ids] == sentence["input_ids"]


@needs_model
def test_company_changes_no_vector(models):
    texts = ["One text.", "Another, somewhat longer text, to stand beside it.", "x"]
    together = embed(models / "plain.gguf", texts, "--plugins", BUILD / "plugins")
    for text, one in zip(texts, together):
        assert embed(models / "plain.gguf", [text], "--plugins", BUILD / "plugins") == [one]


@needs_model
def test_every_pooling(models):
    text = "The quick brown fox"
    ids = [int(i) for i in output("tokenize", models / "plain.gguf", text, "--ids").split()]
    rows = minilm.hidden(ids)
    for name, wanted in (("mean", rows.mean(axis=0)), ("cls", rows[0]), ("last", rows[-1])):
        kept = embed(models / "plain.gguf", [text], "--pooling", name, "--keep-length")
        assert np.abs(np.array(kept[0]["vector"]) - wanted).max() < 1e-4
        scaled = embed(models / "plain.gguf", [text], "--pooling", name)
        wanted = wanted / np.linalg.norm(wanted)
        assert np.abs(np.array(scaled[0]["vector"]) - wanted).max() < 1e-4


@needs_model
def test_texts_come_from_files_and_long_ones_are_refused(models, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("first line\nsecond line\n")
    lines = output("embed", models / "plain.gguf", "-f", path).splitlines()
    assert [len(line.split()) for line in lines] == [WIDTH, WIDTH]
    assert output("embed", models / "plain.gguf", "-f", "-",
                  stdin="second line").splitlines() == lines[1:]
    result = call("embed", models / "plain.gguf", "-f", "-", stdin="word " * 600)
    assert result.returncode == 1 and "602 tokens; 1 to 512" in result.stderr
    assert "Cut the text" in result.stderr
    result = call("embed", models / "plain.gguf", "--text", "x", "--pooling", "max")
    assert result.returncode == 2 and "pooling" in result.stderr


@needs_model
def test_reranking_without_a_classifier_is_by_cosine(models):
    query = "Where do penguins live?"
    documents = ["Stock prices fell on Monday.", "Penguins live in Antarctica.",
                 "A recipe for onion soup."]
    words = [word for d in documents for word in ("--document", d)]
    found = json.loads(output("rerank", models / "plain.gguf", "--query", query, *words, "--json"))
    assert found["method"] == "cosine"
    assert found["results"][0]["index"] == 1
    vectors = np.array([e["vector"] for e in embed(models / "plain.gguf", [query, *documents])])
    for result in found["results"]:
        cosine = float(vectors[0] @ vectors[1 + result["index"]])
        assert result["score"] == pytest.approx(cosine, abs=1e-5)
    assert "cosine" in call("rerank", models / "plain.gguf", "--query", query, *words).stderr


@needs_model
def test_reranking_with_a_classifier_reads_both_texts_at_once(models):
    model, query = models / "classifier.gguf", "Where do penguins live?"
    documents = ["Penguins live in Antarctica.", "A recipe for onion soup."]
    words = [word for d in documents for word in ("--document", d)]
    found = json.loads(output("rerank", model, "--query", query, *words, "--json"))
    assert found["method"] == "classifier"
    head = dict(CLASSIFIER)
    for result in found["results"]:
        first, second = ([int(i) for i in output("tokenize", model, text, "--ids").split()]
                         for text in (query, documents[result["index"]]))
        types = [0] * len(first) + [1] * (len(second) - 1)
        row = minilm.hidden(first + second[1:], types)[0]
        between = np.tanh(head["cls.weight"] @ row + head["cls.bias"])
        wanted = float((head["cls.output.weight"] @ between)[0] + 0.25)
        assert result["score"] == pytest.approx(wanted, abs=1e-3)
    scores = [r["score"] for r in found["results"]]
    assert scores == sorted(scores, reverse=True)
