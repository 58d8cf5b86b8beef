# SPDX-License-Identifier: Apache-2.0
"""Which calls of which engine give the measures of gpu.py: Switchyard with one delegate, and llama.cpp's prebuilt libraries.

A method take_MEASURE(bench, cell) answers samples {"row", "value", ...}: tokens/s of prefill and decode with what they cost
the host, or milliseconds from the start of a process to the first token.
"""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

import engines
import measures
from engines import json_lines, json_object

REPOSITORY = pathlib.Path(__file__).parents[1]
SOFTWARE = re.compile(r"llvmpipe|swiftshader|portable computing language|pocl", re.I)
VULKAN = "linux-x64-vulkan"  # of node-llama-cpp's packages


@dataclasses.dataclass(frozen=True)
class Cell:
    """A model file and the lengths it is measured with."""
    shape: str
    type: str
    n_prefill: int
    n_decode: int

    @property
    def name(self):
        return f"{self.shape} {self.type}"

    def path(self, flags):
        if self.shape == "stories260K":
            return flags.data / f"models/stories260k/stories260K-{self.type}.gguf"
        if self.shape == "actions":
            return REPOSITORY / f"models/actions/actions-{self.type.lower()}.gguf"
        return flags.models / f"{self.shape}-{self.type}.gguf"


def cache_of(bench, engine, cell=None):
    """Where drivers and Switchyard keep what they compiled: of the starts of a model, or of all else of an engine."""
    return bench.work / "caches" / re.sub(r"[^\w.-]+", "-", f"{engine.name}-{cell.name}" if cell else engine.name)


def environment(bench, cache):
    """Words in front of a command: its caches, and as many threads for software devices as for the CPU."""
    threads = bench.flags.threads
    return ["env", f"XDG_CACHE_HOME={cache}", f"LP_NUM_THREADS={threads}",
            f"POCL_MAX_PTHREAD_COUNT={threads}", "GGML_VK_VISIBLE_DEVICES=0"]


class Starts:
    """Starts with all that was compiled gone, with all of it there, with blobs but nothing that the driver keeps."""

    def take_first(self, bench, cell):
        shutil.rmtree(cache_of(bench, self, cell), ignore_errors=True)
        return self.start(bench, cell, "first")

    def take_again(self, bench, cell):
        if not cache_of(bench, self, cell).exists():
            self.start(bench, cell, "first")
        return self.start(bench, cell, "again")

    def take_blobs(self, bench, cell):
        cache = cache_of(bench, self, cell)
        if not cache.exists():
            self.start(bench, cell, "first")
        for folder in cache.iterdir():
            if folder.name != "switchyard":
                shutil.rmtree(folder)
        return self.start(bench, cell, "blobs")

    def start(self, bench, cell, row):
        cache_of(bench, self, cell).mkdir(parents=True, exist_ok=True)
        measures.read_into_cache(cell.path(bench.flags))
        return [{"row": row, **self.first_token(bench, cell)}]


class Switchyard(Starts, engines.Switchyard):
    """One delegate for all that it can do; the CPU for the rest."""

    def __init__(self, name, folder, plugins, delegate):
        super().__init__(name, folder, plugins)
        self.delegate = delegate

    @property
    def is_gpu(self):
        return self.delegate != "cpu-xnnpack"

    def can(self, cell, measure):
        return self.is_gpu or measure in ("speed", "again")

    def config(self, bench):
        path = bench.work / f"{self.delegate}.ini"
        software = "software = on\n" if self.is_gpu else ""
        path.write_text(f"[order]\ndefault = {self.delegate}\n[policy]\nmode = strict\nfallback = allow\n"
                        f"[delegate {self.delegate}]\n{software}")
        return path

    def ask(self, bench, cell, cache, *more):
        return json_object(measures.run([*environment(bench, cache), self.program, "bench", cell.path(bench.flags),
                                         *self.shared(bench.flags.threads), "--config", self.config(bench), "--buffer", 16,
                                         "--json", "-", *more])[0])

    def take_speed(self, bench, cell):
        found = self.ask(bench, cell, cache_of(bench, self), "-p", cell.n_prefill, "-n", cell.n_decode, "-r",
                         bench.flags.repeats)
        device = next((d for d in found["devices"] if d["delegate"] == self.delegate), None)
        if device is None:
            raise RuntimeError(f"{self.delegate} takes no part: decode ran on {found['decode_on']}")
        shared = {"device": f"{device['id']}, {device['driver']}", "on": found["decode_on"], **self.memory(device)}
        shared.update(self.bandwidth(device))
        keys = {"value": "tokens_per_s", "host_us": "host_us_per_token", "process_us": "process_us_per_token",
                "written_bytes": "written_bytes_per_token", "read_bytes": "read_bytes_per_token"}
        return [{"row": s["kind"], **shared, **dict(zip(keys, values))}
                for s in found["series"] for values in zip(*(s[key] for key in keys.values()))]

    def memory(self, device):
        total, free = device["memory_total_bytes"], device["memory_free_bytes"]
        return {"device_mib": (total - free) / 2**20} if self.is_gpu and total and free else {}

    def bandwidth(self, device):
        """Of a copy inside a real device, where the build has the measuring tools."""
        program = self.folder / "bin" / f"sy_gpu_driver_bench_{self.delegate.removeprefix('gpu-')}"
        if not self.is_gpu or SOFTWARE.search(device["id"] + device["driver"]) or not program.exists():
            return {}
        found = re.search(r"inside the device: ([\d.]+) GB/s", measures.run([program])[0])
        return {"device_gbs": float(found[1])} if found else {}

    def first_token(self, bench, cell):
        start, = self.ask(bench, cell, cache_of(bench, self, cell), "-p", 0, "-n", 0, "--start", "-r", 1)["starts"]
        return {"value": start["first_token_ms"][0], "peak_mib": start["peak_kib"] / 1024,
                "compiled": start["segments_compiled"], "from_blobs": start["segments_from_blobs"]}


class LlamaVulkan(Starts, engines.Engine):
    """peers/llama_gpu.c over the libraries of node-llama-cpp's Vulkan package, all layers on the device."""

    def can(self, cell, measure):
        return measure != "blobs"

    def libraries(self):
        """Folder of the shared objects in a node_modules."""
        folder = self.folder / "@node-llama-cpp" / VULKAN / "bins" / VULKAN
        if not (folder / "libggml-vulkan.so").exists():
            raise RuntimeError(f"{folder} has no libggml-vulkan.so: npm install --ignore-scripts node-llama-cpp")
        return folder

    def headers(self, bench):
        """The package brings the source of its llama.cpp as a git bundle."""
        folder = bench.work / "llama-headers"
        if not (folder / "include/llama.h").exists():
            shutil.rmtree(folder, ignore_errors=True)
            bundle = self.folder / "node-llama-cpp/llama/gitRelease.bundle"
            subprocess.run(["git", "clone", "-q", "--no-checkout", bundle, folder], check=True)
            subprocess.run(["git", "-C", folder, "checkout", "-q", "HEAD", "--", "include",
                            "ggml/include"], check=True)
        return [folder / "include", folder / "ggml/include"]

    def program(self, bench):
        here = pathlib.Path(__file__).parent / "peers"
        source, program = here / "llama_gpu.c", bench.work / "llama_gpu"
        newest = max(f.stat().st_mtime for f in (source, here / "llama_shared.h"))
        if not program.exists() or program.stat().st_mtime < newest:
            folder = self.libraries()
            found = [next(folder.glob(f"{name}*.so")) for name in ("libllama.", "libggml.", "libggml-base")]
            subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2",
                            *(f"-I{i}" for i in self.headers(bench)), "-o", program, source, *found,
                            f"-Wl,-rpath,{folder}"], check=True)
        return program

    def command(self, bench, cell, cache, verb, *more):
        return [*environment(bench, cache), self.program(bench), verb, self.libraries(), "Vulkan",
                cell.path(bench.flags), bench.flags.threads, *more]

    def take_speed(self, bench, cell):
        """Its Vulkan leaves matrices that are larger than one binding of the device to the CPU."""
        rows = json_lines(measures.run(self.command(bench, cell, cache_of(bench, self), "rate", cell.n_prefill,
                                                    cell.n_decode, bench.flags.repeats))[0])
        about = {"device": rows[0]["device"], "device_mib": rows[0]["device_mib"], "host_mib": rows[0]["host_mib"],
                 "on": f"{rows[0]['layers']} of {rows[0]['of']} layers on the device"}
        return [{"row": r.pop("measure"), **about, **r} for r in rows[1:]]

    def first_token(self, bench, cell):
        found = measures.first_token_ms(self.command(bench, cell, cache_of(bench, self, cell), "start"))
        return {"value": found["value"], "peak_mib": found["peak_mib"]}


DELEGATES = ("gpu-vulkan", "gpu-opencl")
KINDS = {"llama.cpp": LlamaVulkan}
