# SPDX-License-Identifier: Apache-2.0
"""What a step does not use does not come into memory: a model whose per-layer embeddings are larger
than the memory its process may have, and one whose experts are mostly idle. The files are sparse,
so they cost no disk."""
import ctypes
import json
import mmap
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import BASE, FAMILIES, all_shapes, write_keys, write_tokenizer  # noqa: E402

MIB = 1 << 20
LIMIT = 128 * MIB
CGROUPS = pathlib.Path("/sys/fs/cgroup/memory")
VOCAB = 131072
IDS = [5, 70000, 131071, 9, 44444, 100001, 5, 3]
IDS_SMALL = [5, 17, 80]


def write_sparse(path, name, config, n_layers, shapes):
    """A model of zeros, all in f16 but the norms. Answers name -> (offset, bytes) in the file."""
    from gguf import GGMLQuantizationType, GGUFWriter
    writer = GGUFWriter(str(path), FAMILIES[name][0])
    write_keys(writer, name, n_layers, config)
    writer.add_tokenizer_model("none")
    places, at = {}, 0
    for ours, shape in shapes.items():
        plain = len(shape) == 1 or "ffn_gate_inp" in ours
        n_bytes = int(np.prod(shape)) * (4 if plain else 2)
        writer.add_tensor_info(ours, shape, np.dtype(np.float32 if plain else np.float16), n_bytes,
                               GGMLQuantizationType.F32 if plain else GGMLQuantizationType.F16)
        places[ours] = (at, n_bytes)
        at += (n_bytes + 31) // 32 * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = (os.path.getsize(path) + 31) // 32 * 32
    os.truncate(path, start + at)
    return {ours: (start + offset, n_bytes) for ours, (offset, n_bytes) in places.items()}


def resident_bytes(path, offset, n_bytes):
    """Bytes of a part of a file that lie in memory."""
    page = mmap.PAGESIZE
    first, last = offset // page, (offset + n_bytes + page - 1) // page
    with open(path, "rb") as file:
        area = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE,
                         prot=mmap.PROT_READ | mmap.PROT_WRITE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        vector = (ctypes.c_ubyte * (last - first))()
        libc = ctypes.CDLL(None, use_errno=True)
        status = libc.mincore(ctypes.c_void_p(address + first * page),
                              ctypes.c_size_t((last - first) * page), vector)
        assert status == 0, os.strerror(ctypes.get_errno())
    return sum(byte & 1 for byte in vector) * page


def forget(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.fixture
def cgroup():
    """A memory cgroup with a limit, or None where none can be made."""
    folder = CGROUPS / f"switchyard-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        yield None
        return
    (folder / "memory.limit_in_bytes").write_text(str(LIMIT))
    yield folder
    folder.rmdir()


def peak_of(pid, program="logits_dump"):
    """The largest resident set of a process so far, 0 before it is the program that is measured."""
    try:
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() != program:
            return 0
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines()
                 if line.startswith("VmHWM:")), 0)


def run(path, ids, cgroup=None):
    """The logits of these tokens; answers the largest resident set of the process."""
    def enter():
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    command = [BUILD / "bin/logits_dump", path, "f16", len(ids), "--without", "reference",
               "--plugins", BUILD / "plugins", "--", *ids]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, preexec_fn=enter)
    peak = 0  # of this program alone: what wait4 tells counts the interpreter it was forked from
    while process.poll() is None:
        peak = max(peak, peak_of(process.pid))
        time.sleep(0.002)
    assert process.returncode == 0, process.stderr.read().decode()
    assert peak > 0
    return peak


def test_rows_of_per_layer_embeddings_are_read_alone(tmp_path, cgroup):
    config = dict(BASE, **FAMILIES["gemma4"][2])
    config["hidden_size_per_layer_input"] = width = 256
    shapes = {}
    for names, shape in all_shapes("gemma4").values():
        grown = {12: width, 84: 7 * width, BASE["vocab_size"]: VOCAB}
        # 96 is the width of the feed-forward too: of the vocabulary only where rows are tokens.
        rows_are_tokens = "embd" in names[0] or names[0].startswith("output.")
        shapes[names[0]] = tuple(grown.get(n, n) if n != BASE["vocab_size"] or rows_are_tokens else n
                                 for n in shape)
    shapes["rope_freqs.weight"] = (16,)
    path = tmp_path / "per_layer.gguf"
    places = write_sparse(path, "gemma4", config, 7, shapes)
    with open(path, "r+b") as file:  # a factor of 0 is no factor
        file.seek(places["rope_freqs.weight"][0])
        file.write(np.ones(16, np.float32).tobytes())
    offset, n_bytes = places["per_layer_token_embd.weight"]
    assert n_bytes > 3 * LIMIT
    forget(path)
    peak = run(path, IDS, cgroup)
    resident = resident_bytes(path, offset, n_bytes)
    print(f"table {n_bytes / MIB:.0f} MiB, resident {resident / MIB:.1f} MiB, "
          f"peak {peak / MIB:.0f} MiB, limit {'on' if cgroup else 'off'}")
    assert peak < LIMIT
    # The system reads on past the tensor in front; further in only the pages of rows are there.
    margin = 32 * MIB
    rows = resident_bytes(path, offset + margin, n_bytes - margin)
    assert 0 < rows <= 3 * len(set(IDS)) * mmap.PAGESIZE


def test_experts_that_no_row_chose_are_not_read(tmp_path):
    n_experts, ff = 64, 2048
    config = dict(BASE, **FAMILIES["qwen3moe"][2])
    config.update(num_experts=n_experts, moe_intermediate_size=ff)
    shapes = {}
    for names, shape in all_shapes("qwen3moe").values():
        for ours in names:
            shapes[ours] = shape
        if "ffn_gate_inp" in names[0]:
            shapes[names[0]] = (n_experts, BASE["hidden_size"])
        elif "_exps" in names[0]:
            rows, columns = (BASE["hidden_size"], ff) if "down" in names[0] else \
                (ff, BASE["hidden_size"])
            shapes.update({ours: (n_experts, rows, columns) for ours in names})
    path = tmp_path / "experts.gguf"
    places = write_sparse(path, "qwen3moe", config, 3, shapes)
    forget(path)
    run(path, [1, 2, 3, 4])
    # Scores are all 0, so every row goes to the first experts.
    for ours, (offset, n_bytes) in places.items():
        if "_exps" in ours:
            # 3 of 64 are used; the system may read by 2 MiB.
            assert 0 < resident_bytes(path, offset, n_bytes) <= n_bytes // 3, ours



def write_sparse_folder(folder, n_layers, n_experts, ff):
    """A mixtral of zeros in f16 whose experts lie apart; answers the bytes of its experts."""
    from families import folder_config, experts_apart, weights
    config = dict(folder_config("mixtral"), num_hidden_layers=n_layers, num_local_experts=n_experts,
                  intermediate_size=ff)
    (folder / "config.json").write_text(json.dumps(config))
    width, header, at, n_expert_bytes = BASE["hidden_size"], {}, 0, 0
    shapes = {name: array.shape for name, array in experts_apart("Mixtral", weights("mixtral")).items()
              if "experts" not in name and "gate.weight" not in name and ".layers." not in name
              or ".layers.0." in name and "experts" not in name}
    shapes["model.layers.0.block_sparse_moe.gate.weight"] = (n_experts, width)
    for i in range(n_experts):
        for matrix, shape in (("w1", (ff, width)), ("w2", (width, ff)), ("w3", (ff, width))):
            shapes[f"model.layers.0.block_sparse_moe.experts.{i}.{matrix}.weight"] = shape
    for name, shape in shapes.items():
        copies = [name.replace(".0.", f".{i}.", 1) for i in range(n_layers)] if ".layers." in name else [name]
        for copy in copies:
            n_bytes = 2 * int(np.prod(shape))
            header[copy] = dict(dtype="F16", shape=list(shape), data_offsets=[at, at + n_bytes])
            at += n_bytes
            n_expert_bytes += n_bytes if "experts" in copy else 0
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(folder / "model.safetensors", 8 + len(text) + at)
    return n_expert_bytes


def peak_of_program(command):
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid, pathlib.Path(command[0]).name))
            time.sleep(0.001)
        assert process.returncode == 0, process.stderr.read().decode()
    return peak


def test_experts_of_a_folder_are_held_once(tmp_path):
    """192 MiB of experts: one copy in an engine; none, but a few chunks, while they are quantised."""
    n_bytes = write_sparse_folder(tmp_path, 4, 8, 16384)
    assert n_bytes == 192 * MIB
    dump = [BUILD / "bin/logits_dump", tmp_path, "f32", "1"]
    peak = peak_of_program([*dump, "--", *IDS_SMALL])
    assert n_bytes < peak < n_bytes + 48 * MIB, peak / MIB
    peak = peak_of_program([BUILD / "bin/switchyard", "quantize", tmp_path, tmp_path / "out.gguf", "--type", "Q8_0"])
    assert peak < 96 * MIB, peak / MIB
    assert (tmp_path / "out.gguf").stat().st_size > n_bytes // 2
    peak = peak_of_program([*dump, "--quantization", "Q4_0", "--", *IDS_SMALL])
    assert peak < n_bytes * 9 // 32 + 96 * MIB, peak / MIB  # and what the file maps around what is read
    result = subprocess.run([BUILD / "bin/switchyard", "run", tmp_path, "x", "--memory-budget", "100"],
                            capture_output=True, text=True)
    assert result.returncode == 1 and "in pieces take 201326592 bytes together" in result.stderr
    write_tokenizer(tmp_path)
    for flags in (["--batch-size", "16"], ["--batch-size", "16", "--quantization", "Q4_0"]):
        plan = subprocess.run([BUILD / "bin/switchyard", "plan", tmp_path, "--memory", "--max-tokens", "64", *flags],
                              capture_output=True, text=True, check=True).stdout
        predicted = int(re.search(r"^peak +(\d+) bytes", plan, re.M).group(1))
        measured = peak_of_program([BUILD / "bin/switchyard", "run", tmp_path, " " * 40, "--raw", "-c", "64",
                                    "--ignore-eos", *flags])
        # pages of the file around a piece are mapped while it is copied, and not foreseen
        assert abs(predicted - measured) < n_bytes // 4, (flags, predicted / MIB, measured / MIB)
