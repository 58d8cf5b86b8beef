#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the GPU delegates do and what they cost the host, beside the CPU delegate and llama.cpp's Vulkan build. Engines
take turns.

  gpu.py --models DIR --switchyard BUILD --peer llama.cpp=NODE_MODULES --data SHARED/data --out table.md

NODE_MODULES: of `npm install --ignore-scripts node-llama-cpp`. Every sample goes to --samples at once; the same command
goes on where it was stopped. See README.md beside this file.
"""
import argparse
import dataclasses
import fnmatch
import os
import sys

import facts
import gpu_engines
import gpu_report
import report
import turns
from gpu_engines import Cell

# measure: (seconds that a call takes when nothing is known yet, rounds of it; 0: all)
MEASURES = {"first": (25, 1), "again": (4, 3), "blobs": (20, 1), "speed": (15, 0)}
LENGTHS = {"stories260K": (64, 64), "actions": (64, 32)}
MODELS = [("stories260K", "f32"), ("actions", "Q8_0"),
          ("s180", "Q4_0"), ("s180", "Q8_0"),
          *((shape, kind) for shape in ("gemma3-270m", "qwen25-0.5b") for kind in ("Q4_0", "Q8_0", "Q4_K_M", "f16"))]


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
        ours = lambda name, folder, plugins: gpu_engines.Switchyard(name, folder, plugins, "cpu-xnnpack")
        super().__init__(flags, ours, gpu_engines.KINDS)
        if flags.switchyard:
            self.engines[1:1] = [gpu_engines.Switchyard(d, flags.switchyard, flags.plugins, d)
                                 for d in gpu_engines.DELEGATES]

    def cells(self):
        found = [Cell(shape, kind, *LENGTHS.get(shape, (self.flags.prefill, self.flags.decode))) for shape, kind in MODELS]
        patterns = self.flags.cells
        return [c for c in found if not patterns or any(fnmatch.fnmatch(c.name, p) for p in patterns)]

    def all_jobs(self):
        for i_round in range(1, self.flags.rounds + 1):
            for cell in self.cells():
                for measure in self.flags.measures:
                    if i_round <= (MEASURES[measure][1] or i_round):
                        able = [e for e in self.engines if e.can(cell, measure)]
                        turn = i_round % max(1, len(able))
                        yield from (Job(i_round, measure, cell, e) for e in able[turn:] + able[:turn])

    def estimate(self, job):
        known = [s["seconds"] for s in self.samples
                 if (s["measure"], s["cell"], s["engine"]) == (job.measure, job.cell.name, job.engine.name)]
        return max(known, default=MEASURES[job.measure][0] * (2 if job.engine.name in gpu_engines.KINDS else 1))

    def beside(self, job):
        return self.limits(self.flags.threads) if job.measure == "speed" else {}

    def shown(self, record, samples):
        last = samples[-1]
        cost = f", {report.number(last['host_us'])} us/token of the host" if "host_us" in last else ""
        return f"{last['row']}: {report.number(last['value'])}{cost}"

    def take(self, job, record):
        before = os.times()
        samples = getattr(job.engine, "take_" + job.measure)(self, job.cell)
        after = os.times()
        return samples, after.children_user + after.children_system - before.children_user - before.children_system

    def write(self):
        known = {c.name: facts.cached_model_facts(c.path(self.flags), self.work) for c in self.cells()
                 if c.path(self.flags).exists()}
        machine = facts.machine_facts()
        text = gpu_report.render(self.samples, self.cells(), known, [e.name for e in self.engines], machine,
                                 self.flags.threads)
        self.publish(text, machine=machine, facts=known)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    turns.add_flags(parser, MEASURES, {"llama.cpp": "node_modules with node-llama-cpp"}, 3, "gpu.jsonl")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of the CPU and of devices that compute in software")
    parser.add_argument("--cells", type=turns.listed, default=[], help="patterns, as 'gemma3-270m *'")
    parser.add_argument("--prefill", type=int, default=32, help="tokens, of the larger models; 512 suits a real GPU")
    parser.add_argument("--decode", type=int, default=8, help="tokens, of the larger models; 128 suits a real GPU")
    parser.add_argument("--repeats", type=int, default=3, help="samples of a call")
    flags = parser.parse_args(arguments)
    turns.check_flags(parser, flags, MEASURES, gpu_engines.KINDS)
    return flags


def main(arguments=None):
    return Bench(parse(arguments)).main()


if __name__ == "__main__":
    sys.exit(main())
