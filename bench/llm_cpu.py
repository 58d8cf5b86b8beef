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
import pathlib
import sys

import engines as engine_kinds
import facts
import measures
import report
import turns
from engines import Cell

SHAPES = ("llama32-1b", "qwen25-0.5b", "gemma3-270m")
TYPES = ("Q4_0", "Q4_K_M", "Q8_0", "f16")
SPEED = ("decode", "prefill", "depth")
MEASURES = SPEED + ("start", "memory", "sessions", "busy", "accuracy")
NEIGHBOURS = ("alone-1", "busy", "alone-2", "idle")
BUSY_TURNS = 5  # of our own in a round: the scheduler's choices differ from turn to turn
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


class Bench(turns.Turns):
    def __init__(self, flags):
        super().__init__(flags, engine_kinds.Switchyard, engine_kinds.KINDS)

    def load_earlier(self):
        """Of earlier runs only the trials of settings need no repetition."""
        for path in self.flags.also:
            self.load(path, lambda record: record["round"] == 0)

    def facts_of(self, cell):
        path = self.flags.models / f"{cell.shape}-{cell.type}.gguf"
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

    def beside(self, job):
        """Bandwidth and peak of this moment, for the rates only."""
        if job.measure not in SPEED + ("sessions", "busy"):
            return {}
        return self.limits(job.cell.threads)

    def shown(self, record, samples):
        measure = record["measure"]
        best = report.best([s for s in samples if s.get("measure", measure) == measure], measure)
        setting = engine_kinds.setting_text(record["setting"])
        return f"{record.get('neighbour', '')} {setting}: {report.number(best['value'])}"

    def take(self, job, record):
        setting = record["setting"] = job.setting if job.setting is not None else self.setting_of_round(job)
        if job.round == 0 and self.flags.search == "quick":
            record["quick"] = True
        if job.neighbour:
            record.update(neighbour=job.neighbour, turn=job.turn)
        if job.measure == "start":
            model = job.engine.model(self.flags.models, job.cell)
            prompt = self.prompt(model, job.cell.shape, 16)
            command = job.engine.start_command(self.flags.models, job.cell, setting, prompt, 2048, 1)
            measures.read_into_cache(model)
            measures.first_token_ms(command)
            return [measures.first_token_ms(command) for _ in range(start_runs(job.round))], None
        if job.measure == "memory":
            model = job.engine.model(self.flags.models, job.cell)
            prompt = self.prompt(model, job.cell.shape, MEMORY_TOKENS)
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

    # ---- the report -------------------------------------------------------------------------------------------

    def write(self):
        cells = {c.name: c for m in SPEED + ("memory",) for c in default_cells()[m]}
        known = {name: f for name, f in ((n, self.facts_of(c)) for n, c in cells.items()) if f}
        order = {name: i for i, name in enumerate(cells)}
        samples = sorted(self.samples, key=lambda s: order.get(s["cell"], len(order)))
        names = [report.OURS, *engine_kinds.KINDS]
        machine = facts.machine_facts()
        text, _ = report.render(samples, known, names, machine, engine_kinds.setting_text)
        self.publish(text, machine=machine, facts=known)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    turns.add_flags(parser, MEASURES, {"llama.cpp": "DIR of binaries", "ik": "DIR", "litert-lm": "VENV"}, 3, "samples.jsonl")
    parser.add_argument("--cells", type=turns.listed, default=[], help="patterns SHAPE:TYPE:THREADS, as llama32-1b:*:2")
    parser.add_argument("--search", choices=("cell", "model", "quick", "no"), default="cell",
                        help="try the settings of peers in every cell; only at the most threads of each model file; "
                             "with a quarter of the lengths, to decide only; not at all (the best known)")
    parser.add_argument("--seconds-per-call", type=float, default=3.0, help="repeat short runs for about so long")
    parser.add_argument("--also", type=pathlib.Path, action="append", default=[], help="samples of earlier runs")
    flags = parser.parse_args(arguments)
    turns.check_flags(parser, flags, MEASURES, engine_kinds.KINDS)
    return flags


def main(arguments=None):
    return Bench(parse(arguments)).main()


if __name__ == "__main__":
    sys.exit(main())
