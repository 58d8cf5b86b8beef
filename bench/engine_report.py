# SPDX-License-Identifier: Apache-2.0
"""The tables of engine.py: best and median of every row, engines side by side, and what the goals ask for."""
import engine_calls
from report import OURS, mark, median, number, table

TITLES = {"clone": "Clones of a session",
          "memory": "Peak resident memory of a process, all sessions filled",
          "windows": "Resident memory of one more session, filled",
          "together": "Sessions that decode together, 32 tokens each (tokens/s of all)",
          "guesses": "Guessed tokens (speculative decoding) on a story of a trained model",
          "lora": "Changing an adapter, rank 16 on all projections",
          "prefix": "Time to the logits of a prompt whose beginning is stored",
          "start": "Process start to first token, 16-token prompt, file in the page cache"}
EXPLAINED = {
    "clone": "`clone, then a token`: the call and the first token of the clone, because a copy may be put off until then.\n"
             "`prefill`: what computing the tokens again takes. llama.cpp: `llama_memory_seq_cp`, in a unified cache and, as its\n"
             "own column, in a split one; copies are `llama_state_seq_get_data` and `set_data`, `save_file` and `load_file`.\n"
             "Files lie in memory.",
    "memory": "Foretold by `switchyard plan --memory`; llama.cpp foretells none.",
    "windows": "Switchyard: growth when a second session is opened and filled; without windows it is the same file whose\n"
               "layers look back without end. llama.cpp: a context for three sequences less one for one, `swa_full` for\n"
               "the second row.",
    "guesses": "No public pair of a trained model and a trained draft is here. The model is stories260K, trained, in the shape of\n"
               "the 1B (`widen_model.py`): its text, the other's time. The draft is stories260K in Q4_0: it costs next to nothing\n"
               "and agrees more than a small model of another training would. llama.cpp: `llama-lookup`,\n"
               "`llama-speculative-simple`.",
    "lora": "A change, and what it makes the next prompt of 16 tokens cost. llama.cpp: `llama_set_adapters_lora`.",
    "prefix": "llama.cpp: `llama_memory_seq_cp` of the prefix to a second sequence, then its tail; `taken back`:\n"
              "`llama_memory_seq_rm` of the tail and the new one on the same sequence."}
MEMORY_SLACK_MIB, MEMORY_SHARE = 4, 0.02


def best(values, unit):
    return max(values) if unit.endswith("/s") else min(values)


def index(samples):
    """{measure: {(cell, row): {engine: samples}}} in the order of first sight."""
    found = {}
    for s in samples:
        rows = found.setdefault(s["measure"], {})
        rows.setdefault((s["cell"], s["row"]), {}).setdefault(s["engine"], []).append(s)
    return found


def best_of(by_engine, engine):
    found = by_engine.get(engine)
    return best([s["value"] for s in found], found[0]["unit"]) if found else None


def advantage(by_engine, peer):
    """How many times better than a peer Switchyard is; None where one of them has no sample."""
    ours, theirs = best_of(by_engine, OURS), best_of(by_engine, peer)
    if not ours or not theirs:
        return None
    return ours / theirs if by_engine[OURS][0]["unit"].endswith("/s") else theirs / ours


def shown(by_engine, engine):
    found = by_engine.get(engine)
    if not found:
        return "-"
    values = [s["value"] for s in found]
    text = number(best(values, found[0]["unit"]))
    return text if len(values) == 1 else f"{text} ({number(median(values))})"


def note_of(by_engine, engine):
    """What the best sample says beside its value."""
    found = by_engine.get(engine, [])
    noted = next((s for s in found if s["value"] == best_of(by_engine, engine)), {}).get("note", "")
    return noted if not noted or engine == OURS else f"{engine}: {noted}"


def render_measure(rows):
    engines = list(dict.fromkeys(e for by_engine in rows.values() for e in by_engine))
    peers = sorted((e for e in engines if e != OURS), key=lambda e: (e.partition(",")[0], e))
    has_notes = any(note_of(b, e) for b in rows.values() for e in engines)
    lines = []
    for (cell, row), by_engine in rows.items():
        unit = next(iter(by_engine.values()))[0]["unit"]
        line = [cell, f"{row} ({unit})", shown(by_engine, OURS)]
        for peer in peers:
            line += [shown(by_engine, peer), number(advantage(by_engine, peer))]
        notes = "; ".join(n for n in (note_of(by_engine, e) for e in [OURS, *peers]) if n)
        lines.append(line + ([notes] if has_notes else []))
    header = ["model", "what", OURS] + [h for p in peers for h in (p, "times better")] + (["beside"] if has_notes else [])
    return table(header, lines)


# ---- the goals ----------------------------------------------------------------------------------------------------

def ours_at(rows, start):
    """{cell: {row: best}} of our rows that begin with a word."""
    found = {}
    for (cell, row), by_engine in rows.items():
        value = best_of(by_engine, OURS)
        if row.startswith(start) and value is not None:
            found.setdefault(cell, {})[row] = value
    return found


def clone_goals(rows):
    for cell, clones in ours_at(rows, "clone at ").items():
        depths = sorted((int(row.split()[-1]), us) for row, us in clones.items())
        (first, us), (last, last_us) = depths[0], depths[-1]
        again = best_of(rows.get((cell, f"prefill at {last}"), {}), OURS)
        if last > first:
            yield (f"{cell}: a clone at {last} tokens takes at most 2 x one at {first}", f"{last_us / us:.2f} x",
                   last_us <= 2 * us)
        if again:
            yield (f"{cell}: a clone at {last} takes less than a thousandth of computing it again",
                   f"1 / {1e3 * again / last_us:.0f}", last_us * 1e3 <= 1e3 * again)


def memory_goals(rows):
    samples = [s for by_engine in rows.values() for s in by_engine.get(OURS, []) if "foretold" in s]
    if samples:
        off = [abs(s["foretold"] - s["value"]) for s in samples]
        n = sum(o <= max(MEMORY_SLACK_MIB, MEMORY_SHARE * s["value"]) for o, s in zip(off, samples))
        yield ("peak memory is foretold within 2 % or 4 MiB", f"{n} of {len(samples)}, worst {max(off):.1f} MiB",
               n == len(samples))


def together_goals(rows):
    for cell, speeds in ours_at(rows, "").items():
        if "1 session" in speeds and "8 sessions" in speeds:
            factor = speeds["8 sessions"] / speeds["1 session"]
            yield f"{cell}: 8 sessions together at least 3 x one", f"{factor:.2f} x", factor >= 3


def guess_goals(rows):
    for cell, speeds in ours_at(rows, "").items():
        for way in ("look-up", "draft"):
            if way in speeds and "plain" in speeds:
                factor = speeds[way] / speeds["plain"]
                yield f"{cell}: {way} is no slower than plain decoding", f"{factor:.2f} x", factor >= 0.97


GOALS = {"clone": clone_goals, "memory": memory_goals, "together": together_goals, "guesses": guess_goals}


def behind(groups):
    """Rows where a peer is ahead."""
    for measure, rows in groups.items():
        for (cell, row), by_engine in rows.items():
            for peer in by_engine:
                times = advantage(by_engine, peer) if peer != OURS else None
                if times is not None and times < 0.99:
                    yield [TITLES[measure], cell, row, shown(by_engine, OURS), peer, shown(by_engine, peer), number(times)]


def render(samples, measures, peers, machine):
    groups = {m: rows for m, rows in sorted(index(samples).items(), key=lambda item: measures.index(item[0]))}
    bandwidth = [s["read_gbs"] for s in samples if "read_gbs" in s]
    parts = ["# Operations of the engine: Switchyard and its peers", "",
             f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {' '.join(machine['isa'])}, "
             f"Linux {machine['system']}.",
             "Best, and in brackets the median, of all samples; engines took turns. `times better` is of bests; below 1 the "
             "peer is ahead."]
    if bandwidth:
        parts.append(f"Read bandwidth of a fresh buffer beside the series: {number(min(bandwidth))} to "
                     f"{number(max(bandwidth))} GB/s.")
    goals = [goal for measure, rows in groups.items() for goal in GOALS.get(measure, lambda rows: ())(rows)]
    if goals:
        parts += ["", "## Goals", "", table(["goal", "measured", "met"], [[a, b, mark(c)] for a, b, c in goals])]
    lost = list(behind(groups))
    disturbed = [s["others"] for s in samples if "others" in s]
    if disturbed:
        parts.insert(4, f"Other processes used more than 0.06 of a core during {sum(o > 0.06 for o in disturbed)} of "
                        f"{len(disturbed)} samples.")
    if lost:
        parts += ["", "## Where a peer is ahead", "",
                  table(["measure", "model", "what", OURS, "peer", "its value", "times better"], lost)]
    for measure, rows in groups.items():
        parts += ["", "## " + TITLES[measure], ""]
        said = [EXPLAINED.get(measure, ""), engine_calls.NOT_OFFERED.get(measure, "") if "litert-lm" in peers else ""]
        parts += ["\n".join(filter(None, said)), ""] if any(said) else []
        parts.append(render_measure(rows))
    return "\n".join(parts) + "\n"
