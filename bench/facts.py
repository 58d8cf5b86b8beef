# SPDX-License-Identifier: Apache-2.0
"""What a model file costs (bytes and multiply-adds a token) and what the machine gives. Standard library only."""
import json
import os
import pathlib
import platform
import struct
import subprocess

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
# (elements, bytes) of one block by GGUF type number
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
          11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136),
          30: (1, 2), 39: (32, 17)}


class Header:
    """Reads the keys and tensor sizes of a GGUF file; long arrays are stepped over."""

    def __init__(self, path):
        with open(path, "rb") as self.file:
            magic, version, n_tensors, n_keys = struct.unpack("<4sIQQ", self.file.read(24))
            if magic != b"GGUF" or version < 2:
                raise ValueError(f"{path} is no GGUF file of version 2 or later")
            self.keys = dict(self.key() for _ in range(n_keys))
            self.tensors = [self.tensor() for _ in range(n_tensors)]

    def scalar(self, code):
        return struct.unpack("<" + code, self.file.read(struct.calcsize(code)))[0]

    def text(self):
        return self.file.read(self.scalar("Q"))

    def key(self):
        name, kind = self.text().decode(), self.scalar("I")
        return name, self.value(kind)

    def value(self, kind):
        if kind == STRING:
            return self.text().decode("utf-8", "replace")
        if kind != ARRAY:
            return self.scalar(SCALARS[kind])
        kind, n = self.scalar("I"), self.scalar("Q")
        if kind == STRING:
            for _ in range(n):
                self.text()
            return n
        if n <= 4096:
            return [self.value(kind) for _ in range(n)]
        self.file.seek(n * struct.calcsize(SCALARS[kind]), os.SEEK_CUR)
        return n

    def tensor(self):
        name, n_dims = self.text().decode(), self.scalar("I")
        dims = struct.unpack(f"<{n_dims}Q", self.file.read(8 * n_dims))
        kind, _ = self.scalar("I"), self.scalar("Q")
        n = 1
        for d in dims:
            n *= d
        elements, n_bytes = BLOCKS[kind]
        return name, len(dims), n, n // elements * n_bytes


def model_facts(path):
    """Bytes read for a decoded token, multiply-adds of the layers a prefilled one, bytes of the f16 cache."""
    header = Header(path)
    names = {name for name, *_ in header.tensors}
    family = header.keys["general.architecture"]
    get = lambda key, otherwise=0: header.keys.get(f"{family}.{key}", otherwise)
    table = 0 if "output.weight" in names else sum(b for name, _, _, b in header.tensors if name == "token_embd.weight")
    weights = sum(b for name, _, _, b in header.tensors if name != "token_embd.weight") + table
    layers = sum(n for name, dims, n, _ in header.tensors if name.startswith("blk.") and dims == 2)
    n_layers, row = get("block_count"), 4 * get("attention.head_count_kv") * get("attention.key_length")
    window = get("attention.sliding_window")
    windowed = sum(1 for i in range(n_layers) if (i + 1) % 6) if family == "gemma3" and window else 0

    def cache(n_tokens):
        return row * ((n_layers - windowed) * n_tokens + windowed * min(n_tokens, window))

    return {"file_bytes": os.path.getsize(path), "decode_bytes": weights, "layer_macs": layers,
            "cache_bytes_2048": cache(2048), "cache_bytes_all_2048": row * n_layers * 2048}


def cached_model_facts(path, folder):
    """The same, remembered by name, size and time: headers with 500 000 strings take a second to walk."""
    path, store = pathlib.Path(path), pathlib.Path(folder) / "facts.json"
    known = json.loads(store.read_text()) if store.exists() else {}
    state = path.stat()
    key = f"{path.resolve()}:{state.st_size}:{state.st_mtime_ns}"
    if key not in known:
        known[key] = model_facts(path)
        store.write_text(json.dumps(known, indent=1))
    return known[key]


# ---- the machine ----------------------------------------------------------------------------------------------

def machine_facts():
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    found = dict((k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in info.splitlines()))
    wanted = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "asimddp", "i8mm", "sve")
    flags = set(found.get("flags", found.get("Features", "")).split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": found.get("model name", platform.processor() or platform.machine()),
            "cores": os.cpu_count(), "memory_gb": round(memory / 1e9, 1), "system": platform.release(),
            "isa": [f for f in wanted if f in flags]}


class Probe:
    """Bandwidth and integer peak of this moment, by probe/memory.c and what the verb `bench` measures with."""

    def __init__(self, folder):
        here = pathlib.Path(__file__).resolve().parent
        cli = here.parent / "cli"
        sources = [here / "probe/memory.c", cli / "bench_machine.c", cli / "bench_loops.c"]
        newest = max(path.stat().st_mtime for path in [*sources, *cli.glob("bench_[lm]*.h")])
        self.program = pathlib.Path(folder) / "memory-probe"
        if not self.program.exists() or self.program.stat().st_mtime < newest:
            compiler = os.environ.get("CC", "cc")
            subprocess.run([compiler, "-std=c11", "-D_GNU_SOURCE", "-O3", "-pthread", f"-I{cli}", "-o", self.program,
                            *sources], check=True)

    def measure(self, threads, mib=512, passes=5):
        command = [self.program, str(threads), str(mib), str(passes)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def busy_seconds():
    """CPU time that everybody has used since the start of the machine, stolen time included."""
    try:
        with open("/proc/stat") as file:
            fields = [int(x) for x in file.readline().split()[1:9]]
    except OSError:
        return 0.0
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
