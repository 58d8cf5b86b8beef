# SPDX-License-Identifier: Apache-2.0
"""The verbs of sy_engine_bench that LiteRT-LM's library offers: engine.py runs it with the Python of its venv.

  litert_engine.py clone MODEL THREADS CACHE DEPTH...    litert_lm_conversation_clone
  litert_engine.py start MODEL THREADS CACHE PROMPT      the first piece of an answer on standard output

A conversation takes texts, so that depths are those its own counter tells, and what follows a clone is a short message and
one token of its answer. CACHE is the folder where it keeps packed weights: they are there after the first start.
"""
import copy
import ctypes
import json
import pathlib
import sys
import time

import litert_lm

MESSAGE = "go on"
ROUNDS = 5


def open_engine(model, threads, cache):
    where = {"backend": getattr(litert_lm, "Backend").CPU(thread_count=int(threads))}
    return litert_lm.Engine(model, max_num_tokens=1024, cache_dir=cache, **where)


def say(row, unit, value, note=""):
    print(json.dumps({"row": row, "unit": unit, "value": value, "note": note}), flush=True)


def timed(call, *arguments, **options):
    start = time.perf_counter()
    found = call(*arguments, **options)
    return 1e3 * (time.perf_counter() - start), found


def n_tokens(conversation):
    return conversation._lib.litert_lm_conversation_get_token_count(conversation._ptr)


def clone_of(conversation):
    """The C call, which the Python package does not wrap."""
    function = conversation._lib.litert_lm_conversation_clone
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    pointer = function(conversation._ptr)
    if not pointer:
        raise RuntimeError("litert_lm_conversation_clone failed")
    clone = copy.copy(conversation)
    clone._ptr = pointer
    return clone


def words_of(engine, depth):
    """How many words make about depth tokens, with what the template adds."""
    n_words = depth
    for _ in range(8):
        with engine.create_conversation() as conversation:
            conversation.send_message(" ".join(["word"] * n_words), max_output_tokens=1)
            found = n_tokens(conversation)
        if abs(found - depth) <= 8:
            break
        n_words = max(1, int(n_words * (depth - 8) / max(1, found - 8)))
    return n_words


def filled(engine, n_words):
    """A conversation, and the milliseconds that its message and one token took."""
    conversation = engine.create_conversation()
    ms, _ = timed(conversation.send_message, " ".join(["word"] * n_words), max_output_tokens=1)
    return conversation, ms


def clone(model, threads, cache, *depths):
    engine = open_engine(model, threads, cache)
    for depth in map(int, depths):
        n_words = words_of(engine, depth)
        conversation, ms = filled(engine, n_words)
        say(f"prefill at {depth}", "ms", ms, f"{n_tokens(conversation)} tokens, one of them generated")
        for _ in range(ROUNDS):
            plain, _ = filled(engine, n_words)
            took, _ = timed(plain.send_message, MESSAGE, max_output_tokens=1)
            say(f"a message at {depth}", "ms", took)
            plain.close()
            ms, branch = timed(clone_of, conversation)
            say(f"clone at {depth}", "us", 1e3 * ms)
            took, _ = timed(branch.send_message, MESSAGE, max_output_tokens=1)
            say(f"clone, then a message at {depth}", "ms", ms + took)
            branch.close()
        conversation.close()
    engine.close()


def start(model, threads, cache, prompt):
    engine = open_engine(model, threads, cache)
    session = engine.create_session(apply_prompt_template=False, max_output_tokens=1)
    session.run_prefill([pathlib.Path(prompt).read_text()])
    answer = session.run_decode()
    print(answer.texts[0] if answer.texts else "", flush=True)


if __name__ == "__main__":
    {"clone": clone, "start": start}[sys.argv[1]](*sys.argv[2:])
