# SPDX-License-Identifier: Apache-2.0
"""The engines: which command measures what, and how to read its answer.

Every engine is driven through its documented command line, nothing else. A call gives samples
{"measure", "value", ...}: tokens/s for prefill, decode, depth and sessions.
"""
import dataclasses
import itertools
import json
import pathlib
import re

DEPTH_TOKENS = 2048
SESSIONS = 4


@dataclasses.dataclass(frozen=True)
class Cell:
    """A model file at a thread count."""
    shape: str
    type: str
    threads: int
    part: int = 1  # lengths are divided by it: to try settings quickly

    @property
    def name(self):
        return f"{self.shape}:{self.type}:{self.threads}"

    # The 159M shape is measured with the lengths that its LiteRT-LM export was made for.
    @property
    def n_prefill(self):
        return (128 if self.shape == "s180" else 512) // self.part

    @property
    def n_decode(self):
        return (64 if self.shape == "s180" else 128) // self.part

    @property
    def n_depth(self):
        return DEPTH_TOKENS if self.part == 1 else DEPTH_TOKENS // 2

    @property
    def n_depth_decode(self):
        return 32 // self.part

    @property
    def quantised(self):
        return self.type not in ("f32", "f16", "bf16")


def json_list(text):
    """The JSON array in an output that may have other lines around it."""
    start, end = text.find("["), text.rfind("]")
    while start >= 0:
        try:
            return json.loads(text[start:end + 1])
        except ValueError:
            start = text.find("[", start + 1)
    raise ValueError("no JSON array in: " + text[:200])


def json_object(text):
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        raise ValueError("no JSON object in: " + text[:200])
    return json.loads(text[start:end + 1])


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def setting_text(setting):
    return " ".join(f"{k}={v}" for k, v in sorted(setting.items())) or "-"


class Engine:
    """name; settings(cell, measure): what to try; command(...): how to run; parse(...): its samples."""
    measures = ()
    start_s = 0.7  # for estimates: until a model of no size runs

    def __init__(self, name, folder):
        self.name, self.folder = name, pathlib.Path(folder)

    def settings(self, cell, measure):
        return [{}]

    def can(self, cell, measure):
        return measure in self.measures

    def model(self, models, cell):
        return pathlib.Path(models) / f"{cell.shape}-{cell.type}.gguf"


# ---- llama.cpp ------------------------------------------------------------------------------------------------

def bench_samples(rows):
    """Rows of llama-bench, of both projects: one sample a repetition."""
    for row in rows:
        if row["n_prompt"] and row["n_gen"] or row.get("n_depth"):
            measure = "depth" if row["n_gen"] else "prefill-depth"
        else:
            measure = "decode" if row["n_gen"] else "prefill"
        for value in row.get("samples_ts") or [row["avg_ts"]]:
            yield {"measure": measure, "value": float(value)}


class LlamaCpp(Engine):
    measures = ("decode", "depth", "prefill", "start", "memory", "sessions", "busy")

    def settings(self, cell, measure):
        if measure in ("memory", "sessions", "busy"):
            return [{}]  # its defaults are what the goals name
        repack = ("on", "off") if cell.type in ("Q4_0", "Q4_K_M") else ("on",)  # others have no packed form on x86
        if measure == "start":
            return [{"repack": r} for r in repack]
        return [{"repack": r, "fa": f} for r in repack for f in ("on", "off")]

    def bench(self, models, cell, setting, n_repeats):
        command = [self.folder / "llama-bench", "-m", self.model(models, cell), "-t", cell.threads, "-o", "json",
                   "-r", n_repeats]
        if "fa" in setting:
            command += ["-fa", setting["fa"]]
        if "repack" in setting:
            command += ["--repack", int(setting["repack"] == "on")]
        return command

    # The best repeat counts. One token warms decode up; a prefill warms up with the whole prompt, so that is a repeat.
    cold = ("--no-warmup",)

    def command(self, models, cell, measure, setting, n_repeats):
        if measure == "sessions":
            return self.together_command(self.model(models, cell), cell.threads, (1, SESSIONS))
        lengths = {"prefill": ("-p", cell.n_prefill, "-n", 0, *self.cold), "decode": ("-p", 0, "-n", cell.n_decode),
                   "busy": ("-p", 0, "-n", cell.n_decode),
                   "depth": ("-p", 0, "-n", cell.n_depth_decode, "-d", cell.n_depth)}
        return [*self.bench(models, cell, setting, n_repeats), *lengths[measure]]

    def parse(self, measure, out, err):
        if measure == "sessions":
            speeds = self.together_speeds(out)
            return [{"measure": "sessions", "value": speeds[SESSIONS][0], "one": speeds[1][0]}]
        return list(bench_samples(json_list(out)))

    def together_command(self, model, threads, counts, n_tokens=64, n_repeats=1):
        """Sessions that decode together, each behind a prompt of 16 tokens; repeats are further calls."""
        return [self.folder / "llama-batched-bench", "-m", model, "-t", threads, "-c",
                max(1024, 2 * max(counts) * (16 + n_tokens)), "-npp", 16, "-ntg", n_tokens, "-npl",
                ",".join(map(str, counts)), "--output-format", "jsonl"]

    def together_speeds(self, out):
        """{sessions: tokens/s of all, one a repeat}"""
        rows = json_lines(out)
        return {row["pl"]: [row["speed_tg"]] for row in rows}

    def start_command(self, models, cell, setting, prompt, context, n_tokens):
        command = [self.folder / "llama-completion", "-m", self.model(models, cell), "-t", cell.threads, "-c", context,
                   "-n", n_tokens, "-f", prompt, "--no-warmup", "-no-cnv", "--no-display-prompt", "--simple-io",
                   "--temp", 0, "--ignore-eos"]
        return command + (["--no-repack"] if setting.get("repack") == "off" else [])


class IkLlama(LlamaCpp):
    """ik_llama.cpp: its own llama-bench, where decode at depth is -gp."""
    measures = ("decode", "depth", "prefill", "busy")
    cold = ("-w", 0)

    def settings(self, cell, measure):
        if measure == "busy":
            return [{}]
        repack = ("off", "on") if cell.quantised else ("off",)
        return [{"rtr": r, "fa": f} for r in repack for f in ("on", "off")]

    def bench(self, models, cell, setting, n_repeats):
        command = [self.folder / "llama-bench", "-m", self.model(models, cell), "-t", cell.threads, "-o", "json",
                   "-r", n_repeats]
        for flag, key in (("-fa", "fa"), ("-rtr", "rtr")):
            if key in setting:
                command += [flag, int(setting[key] == "on")]
        return command

    def command(self, models, cell, measure, setting, n_repeats):
        lengths = {"prefill": ("-p", cell.n_prefill, "-n", 0, *self.cold), "decode": ("-p", 0, "-n", cell.n_decode),
                   "busy": ("-p", 0, "-n", cell.n_decode),
                   "depth": ("-p", 0, "-n", 0, "-gp", f"{cell.n_depth},{cell.n_depth_decode}")}
        return [*self.bench(models, cell, setting, n_repeats), *lengths[measure]]


# ---- LiteRT-LM ------------------------------------------------------------------------------------------------

class LiteRtLm(Engine):
    """Its own container on the 159M shape; int8 stands beside Q8_0, int4 beside Q4_0."""
    measures = ("decode", "prefill")
    start_s = 6.0
    files = {"Q8_0": "int8", "Q4_0": "int4"}

    def can(self, cell, measure):
        return measure in self.measures and cell.shape == "s180" and cell.type in self.files

    def model(self, models, cell):
        return pathlib.Path(models) / f"{cell.shape}-{self.files[cell.type]}.litertlm"

    def command(self, models, cell, measure, setting, n_repeats):
        return [self.folder / "bin" / "litert-lm", "benchmark", self.model(models, cell), "-p", cell.n_prefill, "-d",
                cell.n_decode, "--cpu-thread-count", cell.threads, "--max-num-tokens", 1024, "--cache", "memory"]

    def parse(self, measure, out, err):
        """One run gives both speeds, whatever was asked for."""
        found = []
        for kind in ("prefill", "decode"):
            match = re.search(kind + r"[^\n]*?speed[^\d\n]*([\d.,]+)", out, re.I)
            if not match:
                raise ValueError(f"no {kind} speed in: " + out[-300:])
            found.append({"measure": kind, "value": float(match[1].replace(",", ""))})
        return found


# ---- Switchyard -----------------------------------------------------------------------------------------------

class Switchyard(Engine):
    """`switchyard bench --json`; folder is a build's or an installation's root."""
    measures = LlamaCpp.measures + ("accuracy",)

    def __init__(self, name, folder, plugins=None):
        super().__init__(name, folder)
        self.program = self.folder / "bin" / "switchyard"
        built = self.folder / "plugins"
        self.plugins = plugins or (built if built.is_dir() else None)

    def shared(self, threads):
        return ["-t", threads, *(["--plugins", self.plugins] if self.plugins else [])]

    def command(self, models, cell, measure, setting, n_repeats):
        if measure == "sessions":
            return self.together_command(self.model(models, cell), cell.threads, (1, SESSIONS), n_repeats=n_repeats)
        lengths = {"prefill": ("-p", cell.n_prefill, "-n", 0), "decode": ("-p", 0, "-n", cell.n_decode),
                   "busy": ("-p", 0, "-n", cell.n_decode),
                   "depth": ("-p", 0, "-n", cell.n_depth_decode, "-d", f"0,{cell.n_depth}")}
        return [self.program, "bench", self.model(models, cell), *self.shared(cell.threads), "-r", n_repeats, "--json",
                "-", *lengths[measure]]

    def together_command(self, model, threads, counts, n_tokens=64, n_repeats=1):
        return [self.program, "bench", model, *self.shared(threads), "-r", n_repeats, "--json", "-", "-p", 0, "-n",
                n_tokens, "-d", 16, "--batch", ",".join(map(str, counts))]

    def together_speeds(self, out):
        return {s["sequences"]: s["tokens_per_s"] for s in self.series(out)}

    def series(self, out):
        found = json_object(out)
        if found.get("format") != "switchyard-bench" or found["version"] != 1:
            raise ValueError("not the JSON of switchyard bench, version 1: " + out[:200])
        if "reference" in found.get("decode_on", ""):  # never what is to be measured
            raise ValueError(f"decode ran on {found['decode_on']}: the plugins were not found or not trusted")
        return found["series"]

    def parse(self, measure, out, err):
        if measure == "sessions":
            speeds = self.together_speeds(out)
            return [{"measure": "sessions", "value": v, "one": max(speeds[1])} for v in speeds[SESSIONS]]
        samples, empty = [], []
        for series in self.series(out):
            values, kind = series["tokens_per_s"], series["kind"]
            if kind == "decode" and series["depth"] >= DEPTH_TOKENS // 2:  # beside decoding from nothing, in turns
                samples += [{"measure": "depth", "value": v, "empty": e}
                            for v, e in itertools.zip_longest(values, empty[:len(values)])]
            else:
                empty = values if kind == "decode" else []
                samples += [{"measure": kind, "value": v} for v in values]
        return [s for s in samples if s["measure"] == ("decode" if measure == "busy" else measure)]

    def start_command(self, models, cell, setting, prompt, context, n_tokens):
        return [self.program, "run", self.model(models, cell), *self.shared(cell.threads), "--raw", "--quiet", "-c", context,
                "-n", n_tokens, "-f", prompt, "--temp", 0, "--ignore-eos"]

    def count_command(self, model, text):
        return [self.program, "tokenize", model, text, "--ids"]


KINDS = {"llama.cpp": LlamaCpp, "ik": IkLlama, "litert-lm": LiteRtLm}
