#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the operations of an engine cost - clones, memory, sessions together, guesses, adapters, stored prefixes, the first
token - beside llama.cpp and, where its API has the thing, LiteRT-LM. Engines take turns.

  engine.py --models DIR --switchyard BUILD --peer llama.cpp=BIN --peer litert-lm=VENV --data SHARED/data --out table.md

Every sample goes to --samples at once; the same command goes on where it was stopped. See README.md beside this file.
"""
import argparse
import dataclasses
import os
import pathlib
import sys
import tempfile

import engine_calls
import engine_report
import facts
import report
import turns
from engine_calls import Cell

# measure: (seconds that a call takes when nothing is known yet, those of a peer's, rounds of it; 0: all)
MEASURES = {"clone": (20, 80, 1), "memory": (5, 10, 1), "windows": (15, 3, 1), "together": (8, 15, 0), "guesses": (25, 25, 0),
            "lora": (2, 5, 0), "prefix": (6, 22, 0), "start": (1, 4, 0)}


def default_cells():
    """{measure: cells} of the whole comparison."""
    one, quick = Cell("llama32-1b", "Q4_0"), Cell("s180", "Q8_0")
    return {
        "clone": [dataclasses.replace(one, depths=(128, 2048, 8192)), dataclasses.replace(quick, depths=(128, 896))],
        "memory": [Cell("gemma3-270m", "Q8_0", n_tokens=2048), Cell("gemma3-270m", "Q4_0", n_tokens=8192),
                   Cell("gemma3-270m", "Q4_0", n_tokens=2048, n_sessions=4),
                   Cell("qwen25-0.5b", "Q4_0", n_tokens=2048, key_type="Q8_0", value_type="Q8_0"),
                   Cell("qwen25-0.5b", "Q8_0", n_tokens=4096), Cell("qwen25-0.5b", "Q4_0", n_tokens=1024, n_sessions=4),
                   Cell("llama32-1b", "Q4_0", n_tokens=2048),
                   Cell("llama32-1b", "Q8_0", n_tokens=1024, key_type="Q8_0", value_type="Q4_0")],
        "windows": [Cell("gemma3-270m", "Q4_0", n_tokens=8192)],
        "together": [one, Cell("llama32-1b", "Q8_0")],
        "guesses": [Cell("stories-1b", "Q8_0", n_tokens=192)],
        "lora": [one, Cell("qwen25-0.5b", "Q4_0")],
        "prefix": [one],
        "start": [one, Cell("qwen25-0.5b", "Q4_0"), Cell("gemma3-270m", "Q4_0"), quick]}


@dataclasses.dataclass
class Job:
    """One call of one engine."""
    round: int
    measure: str
    cell: Cell
    engine: object

    @property
    def key(self):
        return "|".join((str(self.round), self.measure, self.cell.name, self.engine.name))


class Bench(turns.Turns):
    def __init__(self, flags):
        super().__init__(flags, engine_calls.Switchyard, engine_calls.KINDS)

    def ours(self):
        found = next((e for e in self.engines if e.name == report.OURS), None)
        if found is None:
            raise RuntimeError("this needs Switchyard's tools: give --switchyard")
        return found

    def state_file(self):
        """Where sessions are written to: memory, if the system has a folder there."""
        shared = pathlib.Path("/dev/shm")
        folder = shared if os.access(shared, os.W_OK) else pathlib.Path(tempfile.gettempdir())
        return folder / f"engine-bench-{os.getpid()}.session"

    def all_jobs(self):
        for i_round in range(1, self.flags.rounds + 1):
            for measure in self.flags.measures:
                if i_round <= (MEASURES[measure][2] or i_round):
                    for cell in default_cells()[measure]:
                        yield from self.jobs_of_series(i_round, measure, cell)

    def jobs_of_series(self, i_round, measure, cell):
        able = [e for e in self.engines if e.can(cell, measure)]
        turn = i_round % max(1, len(able))
        yield from (Job(i_round, measure, cell, engine) for engine in able[turn:] + able[:turn])

    def estimate(self, job):
        known = [s["seconds"] for s in self.samples
                 if (s["measure"], s["cell"], s["engine"]) == (job.measure, job.cell.name, job.engine.name)]
        return max(known, default=MEASURES[job.measure][0 if job.engine.name == report.OURS else 1])

    def beside(self, job):
        return self.limits(self.flags.threads)

    def shown(self, record, samples):
        last = samples[-1]
        return f"{len(samples)} samples; {last['row']}: {report.number(last['value'])} {last['unit']}"

    def take(self, job, record):
        before = os.times()
        samples = getattr(job.engine, "take_" + job.measure)(self, job.cell)
        if not samples:
            raise ValueError("no sample")
        after = os.times()
        return samples, after.children_user + after.children_system - before.children_user - before.children_system

    def write(self):
        machine = facts.machine_facts()
        peers = [e.name for e in self.engines if e.name != report.OURS]
        self.publish(engine_report.render(self.samples, list(MEASURES), peers, machine), machine=machine)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    turns.add_flags(parser, MEASURES, {"llama.cpp": "DIR of a build's binaries", "litert-lm": "VENV"}, 2, "engine.jsonl")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    flags = parser.parse_args(arguments)
    turns.check_flags(parser, flags, MEASURES, engine_calls.KINDS)
    return flags


def main(arguments=None):
    return Bench(parse(arguments)).main()


if __name__ == "__main__":
    sys.exit(main())
