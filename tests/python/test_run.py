# SPDX-License-Identifier: Apache-2.0
"""The verbs that run a model, as users type them."""
import json
import math
import os
import pathlib
import subprocess

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"
SHIPPED = sorted((SOURCE / "models/actions").glob("*.gguf"))

needs_stories = pytest.mark.skipif(not STORIES.exists(), reason="the shared models are absent")
needs_shipped = pytest.mark.skipif(not SHIPPED, reason="the shipped model is not built yet")


def call(*arguments, env=None, stdin=None):
    command = [str(BUILD / "bin/switchyard"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, input=stdin,
                          env=dict(os.environ, **(env or {})))


def output(*arguments, **keywords):
    result = call(*arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run(*arguments, **keywords):
    return output("run", STORIES, "--raw", "--quiet", *arguments, **keywords)


@needs_stories
def test_streams_the_known_story():
    expected = json.loads(STORIES.with_name("stories260K.reference.json").read_text())["cases"]
    for case in expected:
        assert run(case["prompt"], "-n", "64").startswith(case["text"])


@needs_stories
def test_model_without_a_template_gets_the_prompt_as_it_is():
    result = call("run", STORIES, "Once upon a time", "-n", "12")
    assert result.stdout == run("Once upon a time", "-n", "12")
    assert "no chat template" in result.stderr


@needs_stories
def test_same_seed_same_text_at_any_thread_count():
    flags = ["Once", "-n", "40", "--temp", "1.1", "--top-k", "50", "--top-p", "0.9"]
    texts = {run(*flags, "--seed", "7", "-t", t) for t in (1, 2, 5)}
    assert len(texts) == 1
    assert run(*flags, "--seed", "8") not in texts


@needs_stories
def test_flags_have_aliases_and_environment_variables():
    plain = run("Once", "-n", "9")
    assert plain == run("Once", "--max-tokens", "9") == run("--prompt", "Once", "--n-predict=9")
    assert plain == run("Once", env={"SWITCHYARD_N_PREDICT": "9"})
    assert plain == run("-", "-n", "9", stdin="Once")


@needs_stories
def test_stop_text_ends_and_is_not_shown():
    whole = run("Once upon a time", "-n", "60")
    cut = run("Once upon a time", "-n", "60", "--stop", "play out")
    assert cut == whole[:whole.index("play out")] + "\n"


@needs_stories
def test_saved_session_goes_on(tmp_path):
    path = tmp_path / "story.session"
    first = run("Once upon a time", "-n", "20", "--save-session", path)
    both = run("Once upon a time", "-n", "40", "--stop", "nothing")
    again = run(" ", "-n", "1", "--load-session", path)
    assert both.startswith(first.rstrip("\n")) and again
    path.write_bytes(path.read_bytes()[:-1])
    result = call("run", STORIES, "--raw", " ", "--load-session", path)
    assert result.returncode == 1 and "damaged" in result.stderr


def logits_after(ids):
    """Log-probabilities after each of the tokens, from the program that dumps logits."""
    dump = [BUILD / "bin/logits_dump", STORIES, "f32", "1", "--", *ids]
    rows = np.frombuffer(subprocess.run(list(map(str, dump)), check=True,
                                        capture_output=True).stdout, np.float32)
    rows = rows.reshape(len(ids), -1).astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


@needs_stories
def test_perplexity_is_that_of_the_logits(tmp_path):
    text = "Once upon a time, there was a little girl named Lily. She loved to play outside."
    path = tmp_path / "text.txt"
    path.write_text(text)
    ids = [int(i) for i in output("tokenize", STORIES, text, "--ids").split()]
    nats = [-row[i] for row, i in zip(logits_after(ids), ids[1:])]
    printed = output("perplexity", STORIES, "-f", path, "-ctk", "f32", "-ctv", "f32")
    assert float(printed.split()[1]) == pytest.approx(math.exp(np.mean(nats)), rel=1e-4)


@needs_stories
def test_scores_are_those_of_the_logits(tmp_path):
    prompt, targets = "Once upon a time", [", there was a girl", " in a big box", " x\"y"]
    path = tmp_path / "targets.txt"
    path.write_text("\n".join(targets[1:]) + "\n")
    flags = ["score", STORIES, "-p", prompt, "--target", targets[0], "--targets-file", path,
             "-ctk", "f32", "-ctv", "f32"]
    found = json.loads(output(*flags, "--json"))
    assert [t["text"] for t in found["targets"]] == targets
    n = found["n_prompt_tokens"]
    for target in found["targets"]:
        ids = [int(i) for i in output("tokenize", STORIES, prompt + target["text"],
                                      "--ids").split()]
        assert [t["id"] for t in target["tokens"]] == ids[n:]
        rows = logits_after(ids)
        wanted = [rows[i - 1][ids[i]] for i in range(n, len(ids))]
        assert [t["log_probability"] for t in target["tokens"]] == pytest.approx(wanted, abs=1e-4)
        assert target["log_probability"] == pytest.approx(sum(wanted), abs=1e-3)
    table = output(*flags, "--each").splitlines()
    assert len(table) == 1 + 3 + sum(len(t["tokens"]) for t in found["targets"])
    assert float(table[1].split()[0]) == pytest.approx(found["targets"][0]["log_probability"],
                                                       abs=1e-5)
    result = call("score", STORIES, "--target", "x")
    assert result.returncode == 2 and "one prompt" in result.stderr


@needs_stories
def test_requests_in_parallel_get_the_same_answers(tmp_path):
    path = tmp_path / "requests.txt"
    path.write_text("Once upon a time\nThe dog\nA big house\nLily and her mom\nTom was\n")
    flags = ["--requests-file", path, "-n", "50", "--temp", "0.8", "--seed", "3"]
    one_by_one = run(*flags)
    assert one_by_one.count("\n") >= 5
    for n in (1, 2, 8):
        result = call("run", STORIES, "--raw", *flags, "--parallel", n)
        assert result.returncode == 0 and result.stdout == one_by_one
        assert "5 requests" in result.stderr
    assert call("run", STORIES, "--raw", "Once", "--parallel", 2).returncode == 2


@needs_shipped
def test_requests_in_parallel_go_through_the_chat_template(tmp_path):
    path = tmp_path / "requests.txt"
    path.write_text("wake me at seven\nturn on the light\n")
    flags = ["run", SHIPPED[0], "--requests-file", path, "--quiet"]
    assert output(*flags, "--parallel", 2) == output(*flags)


@needs_stories
@pytest.mark.parametrize("sampling", [[], ["--temp", "0.8", "--seed", "5"]])
def test_speculation_changes_no_text(sampling):
    flags = ["Once upon a time", "-n", "150", *sampling]
    plain = run(*flags)
    for guesses in (["--lookup"], ["--draft", STORIES.with_name("stories260K-Q8_0.gguf")],
                    ["--lookup", "--draft-max", "12"]):
        result = call("run", STORIES, "--raw", *flags, *guesses)
        assert result.returncode == 0 and result.stdout == plain
        line = [line for line in result.stderr.splitlines() if line.startswith("speculation")][0]
        assert int(line.split()[1]) <= int(line.split()[3])


@needs_stories
@needs_shipped
def test_a_draft_needs_the_same_vocabulary():
    result = call("run", STORIES, "--raw", "Once", "--draft", SHIPPED[0])
    assert result.returncode == 1 and "same vocabulary" in result.stderr
    result = call("run", STORIES, "--raw", "Once", "--draft", SHIPPED[0], "--lookup")
    assert result.returncode == 2


@needs_stories
def test_graph_prints_every_format_and_pass():
    text = output("graph", STORIES)
    assert "switchyard.Attention" in text and "(output)" in text
    assert json.loads(output("graph", STORIES, "--format", "json"))["nodes"]
    assert output("graph", STORIES, "--format", "dot").startswith("digraph")
    passes = output("graph", STORIES, "--passes")
    assert passes.count("before pass") == passes.count("after pass") == 4
    unfused = output("graph", STORIES, "--no-pass", "fuse")
    assert "GatedActivation" in text and "GatedActivation" not in unfused


@needs_stories
@pytest.mark.parametrize("flags, words", [
    (["--temp", "-1"], "temp"), (["-c", "0x"], "16777216"), (["--top-p", "2"], "top-p"),
    (["-ctk", "q9"], "cache type"), (["--pin", "nothing"], "PATTERN=DELEGATE"),
    (["--no-such-flag"], "no-such-flag"), (["--memory-budget", "1", "-c", "4096"], "budget"),
    (["-c", "30", "-n", "50"], "")])
def test_wrong_flags_get_a_sentence(flags, words):
    result = call("run", STORIES, "--raw", "Once", *flags)
    assert words in result.stderr
    assert result.returncode in ((1, 2) if words else (0,))


def test_absent_model_names_the_file():
    result = call("run", "/nowhere/model.gguf", "x")
    assert result.returncode == 1 and "/nowhere/model.gguf" in result.stderr


@needs_shipped
def test_shipped_model_prints_one_call():
    lines = output("run", SHIPPED[0], "could you switch the torch on please").splitlines()
    assert lines == ['{"name":"set_flashlight","arguments":{"on":true}}']


@needs_shipped
def test_requests_file_gives_one_line_each(tmp_path):
    requests = tmp_path / "requests.txt"
    requests.write_text("turn on the flashlight\nset a timer for 90 seconds\n")
    lines = output("run", SHIPPED[0], "--quiet", "--requests-file", requests).splitlines()
    alone = [output("run", SHIPPED[0], "--quiet", r).strip() for r in
             requests.read_text().splitlines()]
    assert lines == alone and all(json.loads(line)["name"] for line in lines)


@needs_stories
def test_slides_past_its_context_and_says_so_where_it_cannot():
    flags = ["Once upon a time", "-c", "64", "-n", "300", "--ignore-eos"]
    stopped, sliding = run(*flags), run(*flags, "--at-limit", "slide")
    assert len(sliding) > 2 * len(stopped) and sliding.startswith(stopped.rstrip("\n"))
    assert sliding == run(*flags, "--at-limit", "slide", "--sinks", "4")
    assert sliding != run(*flags, "--at-limit", "slide", "--sinks", "20")
    assert "stop or slide" in call("run", STORIES, *flags, "--at-limit", "sometimes").stderr


@needs_stories
def test_shared_beginnings_change_nothing(tmp_path):
    lines = tmp_path / "lines"
    beginning = "Once upon a time, there was a little girl who liked to play in the park with her dog. "
    lines.write_text("\n".join(beginning + end for end in ["One day", "She", "Her mom", "One day"]))
    flags = ["--requests-file", str(lines), "-n", "20"]
    assert run(*flags) == run(*flags, "--prefix-cache", "1")
