# SPDX-License-Identifier: Apache-2.0
"""The measures that an engine's own benchmark does not give: start, memory, neighbours, accuracy."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

TIMEOUT_S = 600
WORDS = ("the quick sun of a small town was warm and every child went out to play with an old dog near the river "
         "where many people like to sit in the shade").split()


def words(command):
    return [str(part) for part in command]


def run(command, limit_s=TIMEOUT_S):
    """(stdout, stderr, seconds, processor seconds) of a process that must succeed."""
    before, start = os.times(), time.monotonic()
    done = subprocess.run(words(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s,
                          stdin=subprocess.DEVNULL)
    wall, after = time.monotonic() - start, os.times()
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: {err.strip()[-300:] or out.strip()[-300:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return out, err, wall, used


def first_token_ms(command):
    """From the start of the process to the first byte of its answer (to its end when the token has no text); the most
    that was resident."""
    start = time.monotonic()
    with subprocess.Popen(words(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL) as process:
        first = os.read(process.stdout.fileno(), 1)
        took = time.monotonic() - start
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit status {process.returncode}")
    return {"value": 1e3 * took, "by": "byte" if first else "end", "peak_mib": usage.ru_maxrss / 1024}


def status_kib(pid):
    """VmHWM and what is resident now, of one process."""
    found = {"VmHWM": 0, "RssAnon": 0, "RssFile": 0}
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in found:
                found[key] = int(value.split()[0])
    return found


def peak_memory(command):
    """Highest resident set, and its parts when it was highest, in MiB: looked at every few milliseconds."""
    peak, parts = 0, (0, 0)
    with subprocess.Popen(words(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = status_kib(process.pid)
            peak = max(peak, now["VmHWM"])
            if now["RssAnon"] + now["RssFile"] > sum(parts):
                parts = (now["RssAnon"], now["RssFile"])
            time.sleep(0.003)
    if process.returncode != 0:
        raise RuntimeError(f"exit status {process.returncode}")
    return {"value": peak / 1024, "anon": parts[0] / 1024, "file": parts[1] / 1024}


@contextlib.contextmanager
def neighbour(kind):
    """A process that does nothing but spin on one core: at our own priority ("busy") or at the lowest ("idle")."""
    if kind not in ("busy", "idle"):
        yield
        return
    core = max(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, [{core}])\n"
    program += "os.setpriority(os.PRIO_PROCESS, 0, 19)\n" if kind == "idle" else ""
    process = subprocess.Popen([sys.executable, "-c", program + "while True: pass"])
    try:
        time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def prompt_file(folder, shape, n_tokens, count):
    """A text of n_tokens tokens (or the nearest below) for one vocabulary; count(text) tokenises."""
    path = pathlib.Path(folder) / f"prompt-{shape}-{n_tokens}.txt"
    if path.exists():
        return path
    text = lambda n: " ".join(WORDS[i % len(WORDS)] for i in range(n))
    low, high = 1, n_tokens
    while low < high:  # the most words that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text(middle)) <= n_tokens else (low, middle - 1)
    filled = text(low)
    while count(filled + ".") <= n_tokens and len(filled) < 1 << 20:
        filled += "."
    path.write_text(filled)
    return path


def read_into_cache(path):
    """The file's pages come into memory, so that a start does not wait for the disk."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


# ---- accuracy -------------------------------------------------------------------------------------------------

def divergence(exact, found):
    """Mean over the rows of KL(exact || found), in nats, and the root mean square of the logits' difference."""
    import numpy as np
    exact, found = exact.astype(np.float64), found.astype(np.float64)
    log_softmax = lambda x: x - x.max(1, keepdims=True) - np.log(
        np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
    p, q = log_softmax(exact), log_softmax(found)
    return float((np.exp(p) * (p - q)).sum(1).mean()), float(np.sqrt(np.mean((exact - found) ** 2)))


def accuracy_cases(data):
    """The stored cases: a file, a prompt, exact logits and llama.cpp's."""
    index = pathlib.Path(data) / "ref" / "index.json"
    return json.loads(index.read_text()) if index.exists() else []


def accuracy(engine, data, case):
    """Our logits and llama.cpp's stored ones (its most exact path) against the exact ones, f32 cache for both."""
    import numpy as np
    folder = pathlib.Path(data) / "ref"
    exact = np.load(folder / case["file"].replace(".npy", "-exact.npy"))
    peer = np.load(folder / case["file"])
    ids = (case["prompt_tokens"] + case["greedy_tokens"])[:len(exact)]
    plugins = ["--plugins", engine.plugins] if engine.plugins else []
    command = [engine.folder / "bin" / "logits_dump", folder / case["model"], "f32", 1, *plugins, "--", *ids]
    done = subprocess.run(words(command), capture_output=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-300:])
    found = np.frombuffer(done.stdout, np.float32).reshape(len(exact), -1)
    (ours, rms), (theirs, peer_rms) = divergence(exact, found), divergence(exact, peer)
    return {"value": ours, "rms": rms, "peer": theirs, "peer_rms": peer_rms,
            "trained": not case["file"].split("-")[1].startswith("tiny")}
