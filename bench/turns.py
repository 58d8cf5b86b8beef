# SPDX-License-Identifier: Apache-2.0
"""What comparisons share: engines take turns, every sample goes to a file at once, a run that was stopped goes on."""
import json
import pathlib
import sys
import time

import facts
import measures
import report

MORE_TO_DO = 3  # exit status when --stop-after ended the run


class Turns:
    """The calls of a comparison. A job has .key, .round, .measure, .cell and .engine, both of these with a .name; the
    methods that raise are the comparison's own."""

    def __init__(self, flags, ours, kinds):
        """ours: the class of Switchyard; kinds: those of the peers, by name."""
        self.flags = flags
        self.engines = [ours(report.OURS, flags.switchyard, flags.plugins)] if flags.switchyard else []
        for peer in flags.peer:
            kind, _, path = peer.partition("=")
            self.engines.append(kinds[kind](kind, path))
        self.work = flags.samples.parent
        self.work.mkdir(parents=True, exist_ok=True)
        self.samples, self.failed, self.done = [], {}, set()
        self.started = time.monotonic()
        self.load_earlier()
        self.load(flags.samples)

    def all_jobs(self):
        """Every call, round by round; read lazily, so that later ones may depend on what earlier ones gave."""
        raise NotImplementedError

    def estimate(self, job):
        """Seconds that a call may take."""
        raise NotImplementedError

    def take(self, job, record):
        """(samples, processor seconds of the engine or None); may add to the record that each sample gets."""
        raise NotImplementedError

    def series(self, job):
        """Jobs with the same answer run beside each other, behind one look at the machine."""
        return job.round, job.measure, job.cell

    def beside(self, job):
        """What the machine gives at this moment, for every sample of a series."""
        raise NotImplementedError

    def limits(self, threads):
        """Bandwidth and peak of this moment."""
        found = self.probe.measure(threads)
        return {"read_gbs": found["read_gbs"], "int8_gmacs": found["int8_gmacs"]}

    def shown(self, record, samples):
        """What the line of progress tells of the samples of a call."""
        raise NotImplementedError

    # ---- samples ----------------------------------------------------------------------------------------------

    def load_earlier(self):
        """Samples of other files, if a comparison has such."""

    def load(self, path, is_done=lambda record: True):
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.remember(record, is_done(record))

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

    def is_done(self, job):
        return job.key in self.done or (job.key in self.failed and not self.flags.retry)

    # ---- running ----------------------------------------------------------------------------------------------

    def left(self):
        return [job for job in self.all_jobs() if not self.is_done(job)]

    def run(self):
        """True when nothing is left."""
        self.probe = facts.Probe(self.work)
        left = self.left()
        todo = sum(map(self.estimate, left))
        self.say(f"{len(left)} calls to do, about {todo / 60:.0f} min")
        series, beside = None, {}
        for job in self.all_jobs():
            if self.is_done(job):
                continue
            expected = self.estimate(job)
            elapsed = time.monotonic() - self.started
            if self.flags.stop_after and elapsed > 1 and elapsed + expected > self.flags.stop_after:
                self.say(f"stopped after {elapsed:.0f} s; about {todo / 60:.0f} min are left")
                return False
            if series != self.series(job):
                series, beside = self.series(job), self.beside(job)
            self.run_job(job, beside)
            todo -= expected
        return True

    def run_job(self, job, beside):
        record = {"key": job.key, "measure": job.measure, "cell": job.cell.name, "engine": job.engine.name,
                  "round": job.round, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), **beside}
        busy, start = facts.busy_seconds(), time.monotonic()
        try:
            samples, used = self.take(job, record)
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
        self.say(f"round {job.round} {job.measure} {job.cell.name} {job.engine.name} {self.shown(record, samples)} "
                 f"in {wall:.1f} s")

    def prompt(self, model, name, n_tokens):
        """A file with a text of that many tokens of a model's vocabulary; name: of the vocabulary."""
        ours = next((e for e in self.engines if e.name == report.OURS), None)
        if ours is None:
            raise RuntimeError("prompts are counted with `switchyard tokenize`: give --switchyard")
        count = lambda text: len(measures.run(ours.count_command(model, text))[0].split())
        return measures.prompt_file(self.work, name, n_tokens, count)

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)

    # ---- the table --------------------------------------------------------------------------------------------

    def failures(self):
        return ("\n## Calls that failed\n\n" + "".join(f"- `{k}`: {v}\n" for k, v in self.failed.items())
                if self.failed else "")

    def publish(self, text, **stored):
        """Markdown to --out with the JSON beside it, or to standard output."""
        text += self.failures()
        if self.flags.out:
            self.flags.out.write_text(text)
            self.flags.out.with_suffix(".json").write_text(json.dumps({**stored, "samples": self.samples}, indent=1))
        else:
            print(text)

    def main(self):
        """Lists, runs or only reports, as the flags say; answers the exit status."""
        if self.flags.list:
            left = self.left()
            for job in left:
                print(f"{self.estimate(job):6.1f} s  {job.key}")
            print(f"{len(left)} calls, about {sum(map(self.estimate, left)) / 60:.0f} min")
            return 0
        complete = self.flags.report or self.run()
        if complete or self.flags.out:
            self.write()
        return 0 if complete else MORE_TO_DO

    def write(self):
        raise NotImplementedError


def listed(text):
    return text.split(",")


def add_flags(parser, names, kinds, rounds, samples):
    """The flags of every comparison. names: its measures; kinds: the peers it knows."""
    parser.add_argument("--models", type=pathlib.Path, required=True, help="folder that make_models.py filled")
    parser.add_argument("--switchyard", type=pathlib.Path, metavar="DIR", help="a build's root: bin/, plugins/")
    parser.add_argument("--plugins", type=pathlib.Path, help="plugin folder (default: DIR/plugins)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH",
                        help=", ".join(f"{k}={v}" for k, v in kinds.items()))
    parser.add_argument("--measures", type=listed, default=list(names), help=",".join(names))
    parser.add_argument("--rounds", type=int, default=rounds, help="turns of all engines")
    parser.add_argument("--samples", type=pathlib.Path, default=pathlib.Path("bench-out") / samples)
    parser.add_argument("--retry", action="store_true", help="run again what failed")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS",
                        help=f"end in good time; exit status {MORE_TO_DO} when calls are left")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "shared" / "data",
                        help="trained models and reference logits")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown; the JSON lies beside it")
    parser.add_argument("--list", action="store_true", help="print the calls that are left, and run none")
    parser.add_argument("--report", action="store_true", help="only write the table of the samples there are")


def check_flags(parser, flags, names, kinds):
    for measure in flags.measures:
        if measure not in names:
            parser.error(f"no measure {measure}; there are {', '.join(names)}")
    for peer in flags.peer:
        if peer.partition("=")[0] not in kinds:
            parser.error(f"no peer {peer}; write {', '.join(k + '=PATH' for k in kinds)}")

