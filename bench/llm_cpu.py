#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Switchyard and its peers on the CPU, in turns, and writes one table.

  llm_cpu.py --models DIR --switchyard BUILD --peer llama.cpp=BIN --peer ik=BIN --peer litert-lm=VENV --out table.md

Every sample is appended to --samples at once; the same command goes on where it was stopped. Each series begins
with the read bandwidth of a fresh buffer. Peers with settings are tried in all of them once per cell, then measured
with the best. See README.md beside this file.
"""
import argparse
import dataclasses
import fnmatch
import json
import pathlib
import sys
import time

import engines as engine_kinds
import facts
import measures
import report
from engines import Cell

SHAPES = ("llama32-1b", "qwen25-0.5b", "gemma3-270m")
TYPES = ("Q4_0", "Q4_K_M", "Q8_0", "f16")
SPEED = ("decode", "prefill", "depth")
MEASURES = SPEED + ("start", "memory", "sessions", "busy", "accuracy")
NEIGHBOURS = ("alone-1", "busy", "alone-2", "idle")
BUSY_TURNS = 5  # of our own in a round: the scheduler's choices differ from turn to turn
MORE_TO_DO = 3  # exit status when --stop-after ended the run
BY_SIZE = ("start", "memory", "depth")
MEMORY_TOKENS = 2000


def start_runs(i_round):
    """Beside one that warms up; the first round only takes enough to tell a bad one."""
    return 2 if i_round <= 1 else 4


@dataclasses.dataclass
class Job:
    """One process (or a few starts) of one engine in one cell."""
    round: int  # 0: a setting is tried
    measure: str
    cell: Cell
    engine: object
    setting: dict = None  # None: the best known when its turn comes
    neighbour: str = ""
    turn: int = 0  # with each neighbour, within the round

    @property
    def key(self):
        last = engine_kinds.setting_text(self.setting) if self.round == 0 else str(self.turn or "")
        return "|".join((str(self.round), self.measure, self.cell.name, self.engine.name, self.neighbour, last))


def default_cells():
    """{measure: cells} of the whole comparison."""
    both = [Cell(s, t, n) for s in SHAPES for t in TYPES for n in (2, 1)]
    two = [c for c in both if c.threads == 2]
    small = [Cell("s180", t, n) for t in ("Q8_0", "Q4_0") for n in (2, 1)]
    return {"decode": both + small, "prefill": both + small, "depth": both, "start": two, "memory": two,
            "sessions": [c for c in two if c.shape == "llama32-1b"],
            "busy": [Cell(s, "Q4_0", 2) for s in ("qwen25-0.5b", "llama32-1b")],
            "accuracy": [Cell("reference", "logits", 1)]}


class Bench:
    def __init__(self, flags):
        self.flags = flags
        self.work = flags.samples.parent
        self.work.mkdir(parents=True, exist_ok=True)
        self.samples, self.failed, self.done = [], {}, set()
        for path in flags.also:
            self.load(path, only_trials=True)
        self.load(flags.samples)
        self.engines = []
        if flags.switchyard:
            self.engines.append(engine_kinds.Switchyard(report.OURS, flags.switchyard, flags.plugins))
        for peer in flags.peer:
            kind, _, path = peer.partition("=")
            self.engines.append(engine_kinds.KINDS[kind](kind, path))
        self.started = time.monotonic()

    # ---- samples ----------------------------------------------------------------------------------------------

    def load(self, path, only_trials=False):
        """Samples of a file; from earlier runs only the trials of settings need no repetition."""
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.remember(record, not only_trials or record["round"] == 0)

    def remember(self, record, is_done=True):
        key = record["key"]
        if "error" in record:
            self.failed[key] = record["error"]
            return
        self.failed.pop(key, None)
        self.samples.append(record)
        if is_done:
            self.done.add(key)

    def keep(self, record):
        with open(self.flags.samples, "a") as file:
            file.write(json.dumps(record) + "\n")
        self.remember(record)

    def facts_of(self, cell):
        path = pathlib.Path(self.flags.models) / f"{cell.shape}-{cell.type}.gguf"
        return facts.cached_model_facts(path, self.work) if path.exists() else None

    # ---- the plan ---------------------------------------------------------------------------------------------

    def wanted_cells(self, measure):
        patterns = self.flags.cells
        return [c for c in default_cells()[measure]
                if not patterns or any(fnmatch.fnmatch(c.name, p) for p in patterns)]

    def settings(self, engine, cell, measure):
        """What to try. At depth only what the decode of the same cell left open: its packing is kept."""
        found = engine.settings(cell, measure)
        decode = None
        if measure == "depth":
            quick = report.quick_settings(self.samples, engine.name, f"{cell.shape}:{cell.type}", "decode")
            decode = quick[0] if quick else self.known_setting(engine, cell, "decode")
        if decode:
            packing = [s for s in found if all(s[k] == decode[k] for k in ("repack", "rtr") if k in s and k in decode)]
            found = packing or found
        return found

    def most_threads(self, measure, cell):
        return cell.threads == max(c.threads for c in default_cells()[measure]
                                   if (c.shape, c.type) == (cell.shape, cell.type))

    def known_setting(self, engine, cell, measure):
        """The best setting so far; of the same model at another thread count when this one has none."""
        counts = sorted({c.threads for c in default_cells()[measure]}, reverse=True)
        for name in [cell.name, *(dataclasses.replace(cell, threads=n).name for n in counts)]:
            found = report.best_setting(self.samples, engine.name, name, measure)
            if found is not None:
                return found
        return None

    def setting_of_round(self, job):
        """Round 1 takes the best of the quick trials, round 2 the second when it is near; later ones what won."""
        model = f"{job.cell.shape}:{job.cell.type}"
        quick = report.quick_settings(self.samples, job.engine.name, model, job.measure)
        if job.round <= len(quick) and job.round <= 2:
            return quick[job.round - 1]
        known = self.known_setting(job.engine, job.cell, job.measure)
        return known if known is not None else self.settings(job.engine, job.cell, job.measure)[0]

    def jobs_of_round(self, i_round):
        """The most threads first; small files first where the size is what a cell costs. So a run that is stopped has
        the most cells it could have."""
        for measure in self.flags.measures:
            size = lambda c: (self.facts_of(c) or {"file_bytes": 0})["file_bytes"] if measure in BY_SIZE else 0
            for cell in sorted(self.wanted_cells(measure), key=lambda c: (-c.threads, size(c))):
                yield from self.jobs_of_series(i_round, measure, cell)

    def jobs_of_series(self, i_round, measure, cell):
        able = [e for e in self.engines if e.can(cell, measure)]
        turn = i_round % max(1, len(able))
        for engine in able[turn:] + able[:turn]:
            if measure == "memory" and i_round > 1 or measure == "accuracy" and i_round > 1:
                continue
            settings = self.settings(engine, cell, measure)
            if i_round == 0:
                if len(settings) > 1 and (self.flags.search != "model" or self.most_threads(measure, cell)):
                    yield from self.trials(settings, measure, cell, engine)
            elif measure == "busy":
                turns = range(BUSY_TURNS if engine.name == report.OURS else 1)
                yield from (Job(i_round, measure, cell, engine, {}, n, turn) for turn in turns for n in NEIGHBOURS)
            else:
                yield Job(i_round, measure, cell, engine, settings[0] if len(settings) == 1 else None)

    def trials(self, settings, measure, cell, engine):
        """First every packing, then the winner of these without flash attention. Read lazily: jobs before the last
        one have been run when it is asked for."""
        first = [s for s in settings if s.get("fa", "on") == "on"]
        yield from (Job(0, measure, cell, engine, s) for s in first)
        quick = report.quick_settings(self.samples, engine.name, f"{cell.shape}:{cell.type}", measure)
        best = (quick or [self.known_setting(engine, cell, measure) or first[0]])[0]
        last = {**best, "fa": "off"}
        if last in settings:
            yield Job(0, measure, cell, engine, last)

    def is_done(self, job):
        return job.key in self.done or (job.key in self.failed and not self.flags.retry)

    def rounds(self):
        return range(1 if self.flags.search == "no" else 0, self.flags.rounds + 1)

    def all_jobs(self):
        for i_round in self.rounds():
            yield from self.jobs_of_round(i_round)

    # ---- how long ---------------------------------------------------------------------------------------------

    def rate(self, engine, cell, measure):
        """Tokens/s, measured or guessed from the file's size: for estimates only."""
        for name in (engine.name, "llama.cpp", report.OURS):
            values = [s["value"] for s in self.samples
                      if (s["engine"], s["cell"], s["measure"]) == (name, cell.name, measure)
                      and not s.get("quick")]
            if values:
                return max(values)
        known = self.facts_of(cell)
        if not known:
            return 100.0
        if measure == "prefill":
            return 120e9 * cell.threads / known["layer_macs"]
        return 20e9 * cell.threads ** 0.7 / known["decode_bytes"] * (0.6 if measure == "depth" else 1)

    def repeats(self, job):
        """Samples of one process: small models get more, so that loading is not most of the time."""
        if job.measure == "depth":
            return 1 if job.engine.name == "ik" else 2
        wanted = self.flags.seconds_per_call / self.one_run(job)
        least = 2 if job.measure == "prefill" else 1  # the first prefill finds its pages unmapped
        return max(least, min(6 if job.round else 2, round(wanted)))

    def one_run(self, job):
        cell, measure = job.cell, "decode" if job.measure in ("busy", "sessions") else job.measure
        n = {"prefill": cell.n_prefill, "depth": cell.n_depth_decode}.get(measure, cell.n_decode)
        return n / self.rate(job.engine, cell, measure)

    def estimate(self, job):
        known = self.facts_of(job.cell)
        load = job.engine.start_s + (known["file_bytes"] / 1e9 if known else 0)
        if job.measure == "accuracy":
            return 20.0
        if job.measure == "start":
            return (1 + start_runs(job.round)) * load
        if job.measure == "memory":
            return load + MEMORY_TOKENS / self.rate(job.engine, job.cell, "prefill")
        n = self.repeats(job)
        if job.measure == "depth":
            n_fills = n if job.engine.name == "ik" else 1
            return load + n_fills * 1.3 * 2048 / self.rate(job.engine, job.cell, "prefill") + n * self.one_run(job)
        return load + self.one_run(job) * n * (4 if job.measure == "sessions" else 1)

    # ---- running ----------------------------------------------------------------------------------------------

    def run(self):
        """True when nothing is left."""
        self.probe = facts.Probe(self.work)
        todo = sum(self.estimate(j) for j in self.all_jobs() if not self.is_done(j))
        self.say(f"{sum(1 for j in self.all_jobs() if not self.is_done(j))} calls to do, about {todo / 60:.0f} min")
        series, beside = None, {}
        for job in self.all_jobs():
            if self.is_done(job):
                continue
            expected = self.estimate(job)
            elapsed = time.monotonic() - self.started
            if self.flags.stop_after and elapsed > 1 and elapsed + expected > self.flags.stop_after:
                self.say(f"stopped after {elapsed:.0f} s; about {todo / 60:.0f} min are left")
                return False
            if series != (job.round, job.measure, job.cell):
                series = (job.round, job.measure, job.cell)
                beside = self.beside(job)
            self.run_job(job, beside)
            todo -= expected
        return True

    def beside(self, job):
        """Bandwidth and peak of this moment, for the rates only."""
        if job.measure not in SPEED + ("sessions", "busy"):
            return {}
        found = self.probe.measure(job.cell.threads)
        return {"read_gbs": found["read_gbs"], "int8_gmacs": found["int8_gmacs"]}

    def run_job(self, job, beside):
        setting = job.setting
        if setting is None:
            setting = self.setting_of_round(job)
        record = {"key": job.key, "measure": job.measure, "cell": job.cell.name, "engine": job.engine.name,
                  "setting": setting, "round": job.round, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), **beside}
        if job.round == 0 and self.flags.search == "quick":
            record["quick"] = True
        if job.neighbour:
            record.update(neighbour=job.neighbour, turn=job.turn)
        busy, start = facts.busy_seconds(), time.monotonic()
        try:
            samples, used = self.take(job, setting)
        except (RuntimeError, ValueError, KeyError, OSError, measures.subprocess.SubprocessError) as error:
            self.keep({**record, "error": f"{type(error).__name__}: {error}"[:500]})
            self.say(f"{job.key}: failed: {error}")
            return
        wall = time.monotonic() - start
        record["seconds"] = round(wall, 3)
        if used is not None:  # cores that others kept busy meanwhile
            record["others"] = round(max(0.0, facts.busy_seconds() - busy - used) / wall, 3)
        for sample in samples:
            self.keep({**record, **sample})
        shown = report.best([s for s in samples if s.get("measure", job.measure) == job.measure], job.measure)
        self.say(f"round {job.round} {job.measure} {job.cell.name} {job.engine.name} {job.neighbour} "
                 f"{engine_kinds.setting_text(setting)}: {report.number(shown['value'])} in {wall:.1f} s")

    def take(self, job, setting):
        """(samples, processor seconds of the engine or None)."""
        if job.measure == "start":
            command = job.engine.start_command(self.flags.models, job.cell, setting, self.prompt(job, 16), 2048, 1)
            measures.read_into_cache(job.engine.model(self.flags.models, job.cell))
            measures.first_token_ms(command)
            return [measures.first_token_ms(command) for _ in range(start_runs(job.round))], None
        if job.measure == "memory":
            prompt = self.prompt(job, MEMORY_TOKENS)
            command = job.engine.start_command(self.flags.models, job.cell, setting, prompt, 2048, 8)
            return [measures.peak_memory(command)], None
        if job.measure == "accuracy":
            return [{"cell": case["file"].removesuffix(".npy"),
                     **measures.accuracy(job.engine, self.flags.data, case)}
                    for case in measures.accuracy_cases(self.flags.data)], None
        cell = dataclasses.replace(job.cell, threads=1) if job.neighbour == "alone-1" else job.cell
        if job.round == 0 and self.flags.search == "quick":
            cell = dataclasses.replace(cell, part=4)
        command = job.engine.command(self.flags.models, cell, job.measure, setting, self.repeats(job))
        with measures.neighbour(job.neighbour):
            # an engine that spins beside a busy neighbour may take minutes: no sample then, --retry takes one
            out, err, _, used = measures.run(command, max(30.0, 6 * self.estimate(job)))
        samples = job.engine.parse(job.measure, out, err)
        if job.measure == "busy":
            samples = [{**s, "measure": "busy"} for s in samples]
        if not any(s["measure"] == job.measure for s in samples):
            raise ValueError(f"no sample of {job.measure} in: {out[:200]}")
        return samples, used

    def prompt(self, job, n_tokens):
        ours = next((e for e in self.engines if e.name == report.OURS), None)
        if ours is None:
            raise RuntimeError("prompts are counted with `switchyard tokenize`: give --switchyard")
        model = job.engine.model(self.flags.models, job.cell)
        count = lambda text: len(measures.run(ours.count_command(model, text))[0].split())
        return measures.prompt_file(self.work, job.cell.shape, n_tokens, count)

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)

    # ---- the report -------------------------------------------------------------------------------------------

    def write(self):
        cells = {c.name: c for m in SPEED + ("memory",) for c in default_cells()[m]}
        known = {name: f for name, f in ((n, self.facts_of(c)) for n, c in cells.items()) if f}
        order = {name: i for i, name in enumerate(cells)}
        samples = sorted(self.samples, key=lambda s: order.get(s["cell"], len(order)))
        names = [report.OURS, *engine_kinds.KINDS]
        machine = facts.machine_facts()
        text, _ = report.render(samples, known, names, machine, engine_kinds.setting_text)
        if self.failed:
            text += "\n## Calls that failed\n\n" + "".join(f"- `{k}`: {v}\n" for k, v in self.failed.items())
        if self.flags.out:
            self.flags.out.write_text(text)
            self.flags.out.with_suffix(".json").write_text(
                json.dumps({"machine": machine, "facts": known, "samples": samples}, indent=1))
        else:
            print(text)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--models", type=pathlib.Path, required=True, help="folder that make_models.py filled")
    parser.add_argument("--switchyard", type=pathlib.Path, metavar="DIR", help="a build's root: bin/, plugins/")
    parser.add_argument("--plugins", type=pathlib.Path, help="plugin folder (default: DIR/plugins)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH",
                        help="llama.cpp=DIR and ik=DIR of binaries, litert-lm=VENV")
    parser.add_argument("--measures", type=listed, default=list(MEASURES), help=",".join(MEASURES))
    parser.add_argument("--cells", type=listed, default=[], help="patterns SHAPE:TYPE:THREADS, as llama32-1b:*:2")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all engines")
    parser.add_argument("--search", choices=("cell", "model", "quick", "no"), default="cell",
                        help="try the settings of peers in every cell; only at the most threads of each model file; "
                             "with a quarter of the lengths, to decide only; not at all (the best known)")
    parser.add_argument("--seconds-per-call", type=float, default=3.0, help="repeat short runs for about so long")
    parser.add_argument("--samples", type=pathlib.Path, default=pathlib.Path("bench-out/samples.jsonl"))
    parser.add_argument("--also", type=pathlib.Path, action="append", default=[], help="samples of earlier runs")
    parser.add_argument("--retry", action="store_true", help="run again what failed")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS",
                        help=f"end in good time; exit status {MORE_TO_DO} when calls are left")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "shared" / "data",
                        help="reference logits (ref/) for the accuracy")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown; the JSON lies beside it")
    parser.add_argument("--list", action="store_true", help="print the calls that are left, and run none")
    parser.add_argument("--report", action="store_true", help="only write the table of the samples there are")
    flags = parser.parse_args(arguments)
    for measure in flags.measures:
        if measure not in MEASURES:
            parser.error(f"no measure {measure}; there are {', '.join(MEASURES)}")
    for peer in flags.peer:
        if peer.partition("=")[0] not in engine_kinds.KINDS:
            parser.error(f"no peer {peer}; write {', '.join(k + '=PATH' for k in engine_kinds.KINDS)}")
    return flags


def main(arguments=None):
    bench = Bench(parse(arguments))
    if bench.flags.list:
        left = [j for j in bench.all_jobs() if not bench.is_done(j)]
        for job in left:
            print(f"{bench.estimate(job):6.1f} s  {job.key}")
        print(f"{len(left)} calls, about {sum(map(bench.estimate, left)) / 60:.0f} min")
        return 0
    complete = bench.flags.report or bench.run()
    if complete or bench.flags.out:
        bench.write()
    return 0 if complete else MORE_TO_DO


if __name__ == "__main__":
    sys.exit(main())
