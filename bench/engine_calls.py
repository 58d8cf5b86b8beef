# SPDX-License-Identifier: Apache-2.0
"""Which calls of which engine give the measures of engine.py.

A method take_MEASURE(bench, cell) answers samples {"row", "unit", "value", ...}; "note" says what belongs to a value, "column"
puts a second way of the same engine into a column of its own. A peer without the method does not offer the thing.
"""
import dataclasses
import mmap
import os
import pathlib
import re
import shutil
import struct
import subprocess

import engines
import make_models
import measures
import widen_model
from engines import json_lines

MIB = 1 << 20
SESSION_COUNTS = (1, 2, 4, 8, 16)
TOGETHER_TOKENS = 32
PREFIX_TOKENS, TAIL_TOKENS = 2048, 16
WIDE_SHAPE = "llama32-1b"  # of the trained model
WINDOW_KEY = b"attention.sliding_window"
STORY = ("Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her friend Tom. "
         "One day, Lily saw a big red ball under a tree. She wanted to play with the ball, but it was too high. "
         "Tom said, \"I can help you, Lily.\" ")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A model file, and how long and how many its sessions are."""
    shape: str
    type: str
    depths: tuple = ()
    n_tokens: int = 0
    n_sessions: int = 1
    key_type: str = "f16"
    value_type: str = "f16"

    @property
    def name(self):
        parts = [f"{self.shape} {self.type}"]
        if self.n_tokens:
            parts.append(f"{self.n_sessions} x {self.n_tokens}" if self.n_sessions > 1 else str(self.n_tokens))
        if (self.key_type, self.value_type) != ("f16", "f16"):
            parts.append(f"{self.key_type}/{self.value_type}")
        return ", ".join(parts)

    def engines_cell(self, threads):
        return engines.Cell(self.shape, self.type, threads)


# ---- files that measures need -----------------------------------------------------------------------------------

def made(path, make):
    """A file in the work folder, made once."""
    if not path.exists():
        part = path.with_suffix(".part")
        make(part)
        part.rename(path)
    return path


def adapter(bench, cell):
    shape = make_models.SHAPES[cell.shape]
    return made(bench.work / f"{cell.shape}-lora16.gguf", lambda path: make_models.write_adapter(path, shape))


def without_windows(bench, model):
    """A copy of a model file whose layers look back without end."""
    def make(path):
        shutil.copyfile(model, path)
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as bytes_:
            at = bytes_.find(WINDOW_KEY)
            if at < 0:
                raise RuntimeError(f"{model} has no windows")
            at += len(WINDOW_KEY) + 4  # behind the number of the value's type
            bytes_[at:at + 4] = struct.pack("<I", 1 << 20)
    return made(bench.work / f"{model.stem}-no-windows.gguf", make)


def trained_pair(bench):
    """What trained weights there are: stories260K in the shape of the 1B, and the same in Q4_0 as its draft."""
    stories = bench.flags.data / "models/stories260k/stories260K-f32.gguf"
    if not stories.exists():
        raise RuntimeError(f"{stories} is absent: give --data")
    large = made(bench.work / "stories-1b-Q8_0.gguf", lambda path: widen_model.widen(stories, path, WIDE_SHAPE))
    ours = bench.ours()
    draft = made(bench.work / "stories-Q4_0.gguf",
                 lambda path: measures.run([ours.program, "quantize", stories, path, "--type", "Q4_0"]))
    return large, draft


def story(bench):
    path = bench.work / "story.txt"
    path.write_text(STORY)
    return path


def long_prompt(bench, cell):
    """For a context of n_tokens: all of it but a little, by our count."""
    model = bench.ours().model(bench.flags.models, cell)
    return bench.prompt(model, cell.shape, cell.n_tokens - 32)


def renamed(samples, suffix):
    return [{**s, "row": s["row"] + suffix} for s in samples]


# ---- the engines ------------------------------------------------------------------------------------------------

class Calls:
    """What is asked of engines in the same way. verb(): samples of the verb of a measuring program."""

    def can(self, cell, measure):
        return hasattr(self, "take_" + measure)

    def of(self, bench, cell):
        return self.model(bench.flags.models, cell)

    def take_clone(self, bench, cell):
        return self.verb(bench, "clone", self.of(bench, cell), bench.state_file(), *cell.depths)

    def take_lora(self, bench, cell):
        return self.verb(bench, "lora", self.of(bench, cell), adapter(bench, cell), TAIL_TOKENS)

    def take_prefix(self, bench, cell):
        return self.verb(bench, "prefix", self.of(bench, cell), PREFIX_TOKENS, TAIL_TOKENS)

    def take_together(self, bench, cell):
        command = self.together_command(self.of(bench, cell), bench.flags.threads, SESSION_COUNTS, TOGETHER_TOKENS)
        return [{"row": f"{n} session" + "s" * (n > 1), "unit": "tokens/s", "value": value}
                for n, values in self.together_speeds(measures.run(command)[0]).items() for value in values]

    def take_start(self, bench, cell):
        """A start that warms up, then two that count."""
        command = self.first_token_command(bench, cell, bench.prompt(bench.ours().of(bench, cell), cell.shape, 16))
        measures.read_into_cache(self.of(bench, cell))
        measures.first_token_ms(command)
        return [{**measures.first_token_ms(command), "row": "first token", "unit": "ms"} for _ in range(2)]

    def first_token_command(self, bench, cell, prompt):
        return self.start_command(bench.flags.models, cell.engines_cell(bench.flags.threads), {}, prompt, 2048, 1)


class Switchyard(Calls, engines.Switchyard):
    def verb(self, bench, verb, model, *arguments):
        plugins = self.plugins or self.folder / "plugins"
        command = [self.folder / "bin/sy_engine_bench", verb, model, plugins, bench.flags.threads, *arguments]
        return json_lines(measures.run(command)[0])

    def take_memory(self, bench, cell):
        model, threads = self.of(bench, cell), bench.flags.threads
        cache = ["--cache-type-k", cell.key_type, "--cache-type-v", cell.value_type]
        plan = measures.run([self.program, "plan", model, *self.shared(threads), "--memory", "--max-tokens", cell.n_tokens,
                             "--sessions", cell.n_sessions, *cache])[0]
        foretold = int(re.search(r"^peak +(\d+) bytes", plan, re.M)[1]) / MIB
        prompt = long_prompt(bench, cell)
        command = [self.program, "run", model, *self.shared(threads), "--raw", "--quiet", "--ignore-eos", "-c",
                   cell.n_tokens, *cache]
        if cell.n_sessions > 1:
            lines = bench.work / "requests.txt"
            lines.write_text((prompt.read_text().replace("\n", " ") + "\n") * cell.n_sessions)
            command += ["--requests-file", lines, "--parallel", cell.n_sessions]
        else:
            command += ["-f", prompt]
        found = measures.peak_memory(command)
        note = f"foretold {foretold:.1f} ({100 * (foretold / found['value'] - 1):+.1f} %)"
        return [{**found, "row": "peak", "unit": "MiB", "foretold": foretold, "note": note}]

    def take_windows(self, bench, cell):
        model = self.of(bench, cell)
        ask = lambda path: self.verb(bench, "sessions", path, cell.n_tokens, 2)
        return renamed(ask(model), ", windows") + renamed(ask(without_windows(bench, model)), ", no windows")

    def take_guesses(self, bench, cell):
        large, draft = trained_pair(bench)
        return self.verb(bench, "speculate", large, story(bench), cell.n_tokens, draft)


GGML_TYPES = {"f32": "f32", "f16": "f16", "bf16": "bf16", "Q8_0": "q8_0", "Q4_0": "q4_0"}
SPEED = re.compile(r"decoded +\d+ tokens in +[\d.]+ seconds, speed: +([\d.]+) t/s")
PLAIN_SPEED = re.compile(r"(?<!prompt) eval time = .*?([\d.]+) tokens per second")


class LlamaCpp(Calls, engines.LlamaCpp):
    def includes(self):
        """Folders of its headers: of an installation beside bin/, or of the source that the build's cache names."""
        installed = self.folder.parent / "include"
        cache = self.folder.parent / "CMakeCache.txt"
        if (installed / "llama.h").exists():
            return [installed]
        source = re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache.read_text(), re.M) if cache.exists() else None
        if source is None:
            raise RuntimeError(f"no llama.h near {self.folder}: give the bin/ of an installation or of a build folder")
        return [pathlib.Path(source[1]) / "include", pathlib.Path(source[1]) / "ggml/include"]

    def measuring_program(self, bench):
        """peers/llama_engine.c against this build."""
        source, program = pathlib.Path(__file__).parent / "peers/llama_engine.c", bench.work / "llama_engine"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            library = next((f for f in (self.folder, self.folder.parent / "lib") if (f / "libllama.so").exists()), self.folder)
            subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", *(f"-I{i}" for i in self.includes()),
                            "-o", program, source, f"-L{library}", f"-Wl,-rpath,{library}", "-lllama", "-lggml",
                            "-lggml-base"], check=True)
        return program

    def verb(self, bench, verb, model, *arguments):
        samples = json_lines(measures.run([self.measuring_program(bench), verb, model, bench.flags.threads, *arguments])[0])
        for sample in samples:
            if sample["column"]:
                sample["engine"] = f"{self.name}, {sample['column']}"
        return samples

    def take_memory(self, bench, cell):
        """Quantised values need its flash attention, which its default chooses where it can."""
        model, cache = self.of(bench, cell), ["-ctk", GGML_TYPES[cell.key_type], "-ctv", GGML_TYPES[cell.value_type]]
        if cell.n_sessions > 1:
            command = [self.folder / "llama-batched-bench", "-m", model, "-t", bench.flags.threads, "-c",
                       cell.n_tokens * cell.n_sessions, "-npp", cell.n_tokens - 32, "-ntg", 8, "-npl", cell.n_sessions, *cache]
        else:
            command = [*self.start_command(bench.flags.models, cell.engines_cell(bench.flags.threads), {},
                                           long_prompt(bench, cell), cell.n_tokens, 8), *cache]
        return [{**measures.peak_memory(command), "row": "peak", "unit": "MiB"}]

    def take_windows(self, bench, cell):
        ask = lambda full: self.verb(bench, "sessions", self.of(bench, cell), cell.n_tokens, full)
        return renamed(ask(0), ", windows") + renamed(ask(1), ", no windows")

    def take_guesses(self, bench, cell):
        large, draft = trained_pair(bench)
        shared = ["-m", large, "-t", bench.flags.threads, "-c", 512, "-f", story(bench), "-n", cell.n_tokens, "--temp", 0,
                  "--ignore-eos"]
        found = []
        for row, program, flags in (
                ("plain", "llama-completion", ["-no-cnv", "--no-display-prompt", "--simple-io", "--no-warmup", "--perf"]),
                ("look-up", "llama-lookup", ["--spec-draft-n-max", 4]),
                ("draft", "llama-speculative-simple", ["--spec-type", "draft-simple", "--spec-draft-model", draft,
                                                       "--spec-draft-n-max", 4])):
            if not (self.folder / program).exists():
                raise RuntimeError(f"{self.folder} lacks {program}")
            out, err, _, _ = measures.run([self.folder / program, *shared, *flags])
            speed = (PLAIN_SPEED if row == "plain" else SPEED).search(out + err)
            if speed is None:
                raise ValueError(f"no speed of {program} in: {(out + err)[-300:]}")
            right = re.search(r"n_drafted += (\d+).*?accept +=\s*([\d.naif-]+)%", out + err, re.S)
            note = f"{float(right[2]):.0f} % of {right[1]} right" if right else ""
            found.append({"row": row, "unit": "tokens/s", "value": float(speed[1]), "note": note})
        return found


class LiteRtLm(Calls, engines.LiteRtLm):
    offered = ("clone", "start")

    def can(self, cell, measure):
        return measure in self.offered and cell.shape == "s180" and cell.type in self.files

    def verb(self, bench, verb, model, *arguments):
        return json_lines(measures.run(self.script(verb, bench, model, *arguments))[0])

    def script(self, verb, bench, model, *arguments):
        source = pathlib.Path(__file__).parent / "peers/litert_engine.py"
        return [self.folder / "bin/python", source, verb, model, bench.flags.threads, bench.work, *arguments]

    def take_clone(self, bench, cell):
        return self.verb(bench, "clone", self.of(bench, cell), *cell.depths)

    def first_token_command(self, bench, cell, prompt):
        return self.script("start", bench, self.of(bench, cell), prompt)


KINDS = {"llama.cpp": LlamaCpp, "litert-lm": LiteRtLm}
NOT_OFFERED = {
    "clone": "LiteRT-LM clones conversations (litert_lm_conversation_clone; the Python package does not wrap it), which take\n"
             "texts: a message is two words and one token of the answer. It copies when the clone writes.",
    "memory": "LiteRT-LM: foretells no peak.",
    "windows": "LiteRT-LM: not offered (a container of this model is needed; windows are fixed when it is made).",
    "together": "LiteRT-LM: not offered (one executor, one session at a time).",
    "guesses": "LiteRT-LM: not offered without a container that holds a drafter trained for it.",
    "lora": "LiteRT-LM: an adapter is chosen when a session is made, for containers exported with ranks; not offered here.",
    "prefix": "LiteRT-LM: not offered across sessions.",
    "start": "LiteRT-LM packs weights at its first start and keeps them in a file; that start is not counted."}
