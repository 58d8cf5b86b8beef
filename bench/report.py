# SPDX-License-Identifier: Apache-2.0
"""From samples to one table: best of many, ratios, share of the machine, goals, geometric means."""
import itertools
import math

OURS = "switchyard"
LESS_IS_BETTER = ("start", "memory", "accuracy")
TITLES = {"decode": "Decode 128 tokens, s180: 64 (tokens/s)", "depth": "Decode at depth 2048 (tokens/s)",
          "prefill": "Prefill 512, s180: 128 (tokens/s)", "start": "Process start to first token, 16-token prompt (ms)",
          "memory": "Peak resident memory, context 2048 (MiB)",
          "sessions": "4 sessions decoding together (tokens/s of all)",
          "busy": "Decode beside a neighbour (tokens/s)",
          "accuracy": "Distance of the logits from the exact ones (mean KL divergence, nats)"}


def best(samples, measure):
    """The sample that counts: the fastest, the shortest start, the least memory peak."""
    pick = min if measure in LESS_IS_BETTER else max
    return pick(samples, key=lambda s: s["value"]) if samples else None


def median(values):
    ordered = sorted(values)
    n = len(ordered)
    return 0.0 if n == 0 else (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def geometric_mean(values):
    values = [v for v in values if v and v > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def best_setting(samples, engine, cell_name, measure):
    """The setting with the best sample of an engine in a cell, or None before any was taken."""
    found = [s for s in samples if (s["engine"], s["cell"], s["measure"]) == (engine, cell_name, measure)
             and not s.get("quick")]
    top = best(found, measure)
    return top["setting"] if top else None


def quick_settings(samples, engine, model, measure, within=0.85):
    """Settings by their quick trials with one model file ("shape:type"), best first: those near enough to the best
    that only a whole run can tell."""
    scores = {}
    for s in samples:
        if s.get("quick") and (s["engine"], s["measure"]) == (engine, measure) and s["cell"].rpartition(":")[0] == model:
            key = tuple(sorted(s["setting"].items()))
            scores[key] = max(scores.get(key, 0), s["value"])
    ranked = sorted(scores, key=scores.get, reverse=True)
    return [dict(key) for key in ranked if scores[key] >= within * scores[ranked[0]]]


def index(samples):
    """{(measure, cell): {engine: best sample}}, and all samples behind each."""
    groups = {}
    for sample in (s for s in samples if not s.get("quick")):
        groups.setdefault((sample["measure"], sample["cell"]), {}).setdefault(sample["engine"], []).append(sample)
    return groups


def number(value):
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def share(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def mark(met):
    return "" if met is None else ("yes" if met else "no")


def ratio(a, b):
    return a["value"] / b["value"] if a and b and b["value"] else None


def spread(samples):
    values = [s["value"] for s in samples]
    return f"{number(min(values))}..{number(max(values))} ({len(values)})" if values else "-"


# ---- one measure, one row a cell ------------------------------------------------------------------------------

def used_share(measure, cell, sample, facts):
    """Part of the machine that a rate uses: bytes over the bandwidth beside it, or multiply-adds over the peak."""
    if not sample or cell not in facts:
        return None
    fact = facts[cell]
    if measure in ("decode", "depth"):
        n_bytes = fact["decode_bytes"] + (fact["cache_bytes_2048"] if measure == "depth" else 0)
        return sample["value"] * n_bytes / 1e9 / sample["read_gbs"] if sample.get("read_gbs") else None
    if measure == "prefill":
        peak = sample.get("int8_gmacs")
        return sample["value"] * fact["layer_macs"] / 1e9 / peak if peak else None
    return None


def attention_factor(depth, fact):
    """Time that 2048 tokens of context add to a token of the same process, over the least time for the cache's bytes."""
    if not depth or not depth.get("empty") or not depth.get("read_gbs"):
        return None
    added = max(0.0, 1 / depth["value"] - 1 / depth["empty"])
    return added / (fact["cache_bytes_2048"] / 1e9 / depth["read_gbs"])


def goal_of(measure, cell, row):
    """(goal in words, met or None) of one cell; `row` has ours, ratios and share."""
    shape, kind, *_ = cell.split(":") + [""]
    quantised = kind not in ("f16", "f32", "bf16")
    checks = []
    if measure == "decode" and shape != "s180":
        least = 0.85 if shape == "llama32-1b" else 0.75
        checks += [(f">= {100 * least:.0f} %", row["share"], least), (">= 1.1x llama.cpp", row["llama.cpp"], 1.1)]
        if quantised:
            checks += [("> ik", row["ik"], 1.0)]
    elif measure == "prefill" and shape != "s180" and quantised:
        checks += [(">= 50 % of peak", row["share"], 0.5)]
    elif measure == "prefill" and shape == "s180":
        checks += [("> LiteRT-LM", row["litert-lm"], 1.0)]
    elif measure == "sessions" and shape == "llama32-1b":
        checks += [(">= 2.5x one session", row["gain"], 2.5)]
    elif measure == "start" and shape != "s180":
        checks += [("<= 0.35x llama.cpp", row["llama.cpp"] and 1 / row["llama.cpp"], 1 / 0.35)]
    checks = [c for c in checks if c[1] is not None]
    met = all(value >= least for _, value, least in checks) if checks and row["ours"] else None
    return ", ".join(c[0] for c in checks), met


def speed_rows(measure, groups, facts, engines):
    """Cells of one measure, in the order of the plan: dictionaries for render and for the means."""
    rows = []
    for (what, cell), by_engine in groups.items():
        if what != measure:
            continue
        top = {e: best(by_engine.get(e, []), measure) for e in engines}
        ours = top.get(OURS)
        row = {"cell": cell, "ours": ours, "top": top, "all": by_engine,
               "share": used_share(measure, cell, ours, facts),
               "gain": ours["value"] / ours["one"] if ours and ours.get("one") else None}
        for engine in ("llama.cpp", "ik", "litert-lm"):
            row[engine] = ratio(ours, top.get(engine))
        row["goal"], row["met"] = goal_of(measure, cell, row)
        row["peer_share"] = used_share(measure, cell, top.get("llama.cpp"), facts)
        reference = ours or next((s for s in top.values() if s), None)
        row["read_gbs"] = reference.get("read_gbs") if reference else None
        rows.append(row)
    return rows


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def render_speed(measure, rows, engines, setting_text):
    """Markdown of one measure; peers with the setting that won in the cell."""
    peers = [e for e in engines if e != OURS and any(r["top"].get(e) for r in rows)]
    used = measure in ("decode", "depth", "prefill")
    header = ["model", "threads", OURS] + [h for p in peers for h in (p, f"/ {p}")] + ["setting of llama.cpp"]
    header += (["share", "share of llama.cpp", "GB/s beside"] if used else []) + ["goal", "met", "range (runs)"]
    lines = []
    for row in rows:
        shape, kind, threads = row["cell"].split(":")
        line = [f"{shape} {kind}", threads, number(row["ours"] and row["ours"]["value"])]
        for peer in peers:
            top = row["top"].get(peer)
            line += [number(top and top["value"]), number(row.get(peer))]
        llama = row["top"].get("llama.cpp")
        line.append(setting_text(llama["setting"]) if llama else "-")
        if used:
            line += [share(row["share"]), share(row["peer_share"]), number(row["read_gbs"])]
        line += [row["goal"], mark(row["met"]), spread(row["all"].get(OURS, []))]
        lines.append(line)
    return table(header, lines)


# ---- the goals over all cells ---------------------------------------------------------------------------------

def summary(tables, facts):
    """[(goal, value, met)] of the goals that span cells. Only cells that both engines have count."""
    lines = []

    def mean(measure, peer, goal, keep=lambda row: True, at_most=False):
        ratios = [r[peer] for r in tables.get(measure, []) if r.get(peer) and keep(r) and "s180" not in r["cell"]]
        value = geometric_mean(ratios)
        if value is not None:
            sign, met = ("<=", value <= goal) if at_most else (">=", value >= goal)
            lines.append((f"{measure}: geometric mean over {peer} {sign} {goal} ({len(ratios)} cells)",
                          number(value), met))

    quantised = lambda row: row["cell"].split(":")[1] not in ("f16", "f32", "bf16")
    mean("decode", "llama.cpp", 1.4)
    mean("decode", "ik", 1.0, quantised)
    mean("depth", "llama.cpp", 1.6)
    mean("prefill", "llama.cpp", 2.0)
    mean("prefill", "ik", 1.2, quantised)
    mean("start", "llama.cpp", 0.35, at_most=True)
    for measure in ("decode", "depth", "prefill"):
        told = [r for r in tables.get(measure, []) if r["met"] is not None]
        if told:
            n = sum(1 for r in told if r["met"])
            lines.append((f"{measure}: cells that meet all of their goals", f"{n} of {len(told)}", n == len(told)))
    trained = [r["ours"] for r in tables.get("accuracy", []) if r["ours"] and r["ours"]["trained"]]
    if trained:
        n = sum(1 for s in trained if no_worse(s))
        lines.append(("accuracy: trained models' cases no farther from exact than llama.cpp",
                      f"{n} of {len(trained)}", n == len(trained)))
    lines += attention_lines(tables, facts)
    return lines


def no_worse(sample):
    """Below 1e-9 nats both are rounding of f32 arithmetic."""
    return sample["value"] <= max(sample["peer"], 1e-9)


def attention_lines(tables, facts):
    """The middle of all samples of a cell, and of all cells: memory changes its speed between two samples too."""
    known = {}
    for row in tables.get("depth", []):
        factors = [attention_factor(s, facts[row["cell"]]) for s in row["all"].get(OURS, []) if row["cell"] in facts]
        factors = [f for f in factors if f is not None]
        if factors:
            known[row["cell"]] = median(factors)
    if not known:
        return []
    worst = max(known, key=known.get)
    middle = median(known.values())
    return [(f"depth: time of attention over the cache's bytes / bandwidth, median <= 2 ({len(known)} cells; worst: "
             f"{number(known[worst])} at {worst})", number(middle), middle <= 2)]


def render_memory(rows, facts):
    header = ["model", OURS, "anonymous + file", "llama.cpp", "anonymous + file", "ratio", "file + KV + 40 MB",
              "within", "<= 0.65x (repacked types)"]
    lines = []
    for row in rows:
        shape, kind, _ = row["cell"].split(":")
        ours, llama, fact = row["ours"], row["top"].get("llama.cpp"), facts.get(row["cell"])
        limit = (fact["file_bytes"] + fact["cache_bytes_all_2048"] + 40e6) / 2**20 if fact else None
        parts = lambda s: f"{number(s['anon'])} + {number(s['file'])}" if s else "-"
        part = ours["value"] / llama["value"] if ours and llama else None
        repacked = kind in ("Q4_0", "Q4_K_M")
        lines.append([f"{shape} {kind}", number(ours and ours["value"]), parts(ours), number(llama and llama["value"]),
                      parts(llama), number(part), number(limit),
                      mark(ours["value"] <= limit if ours and limit else None),
                      mark(part <= 0.65 if part and repacked else None)])
    return table(header, lines)


BUSY = {"alone-1": "1 thread alone", "alone-2": "2 threads alone", "idle": "2, neighbour of idle priority",
        "busy": "2, busy neighbour"}


def turn_ratios(samples, above, below):
    """Speed with one neighbour over that with another, turn by turn: {neighbour: best of the turn} each."""
    turns = {}
    for s in samples:
        turn = turns.setdefault((s["round"], s.get("turn", 0)), {})
        turn[s["neighbour"]] = max(turn.get(s["neighbour"], 0.0), s["value"])
    return [t[above] / t[below] for t in turns.values() if t.get(above) and t.get(below)]


def render_busy(samples, engines):
    """One row an engine: the middle of its turns, because a neighbour's cost is what usually happens."""
    mine = [s for s in samples if s["measure"] == "busy"]
    header = ["model", "engine", *BUSY.values(), "busy / 1 thread (>= 0.95)", "idle / 2 threads (>= 0.97)", "met", "turns"]
    lines = []
    for cell, engine in itertools.product(sorted({s["cell"] for s in mine}), engines):
        found = [s for s in mine if (s["cell"], s["engine"]) == (cell, engine)]
        if not found:
            continue
        speeds = [median([s["value"] for s in found if s["neighbour"] == n]) for n in BUSY]
        busy, idle = turn_ratios(found, "busy", "alone-1"), turn_ratios(found, "idle", "alone-2")
        met = median(busy) >= 0.95 and median(idle) >= 0.97 if busy and idle and engine == OURS else None
        shape, kind, _ = cell.split(":")
        lines.append([f"{shape} {kind}", engine, *map(number, speeds), number(median(busy)), number(median(idle)),
                      mark(met), str(len(busy))])
    return table(header, lines)


def render_accuracy(samples):
    """One row a model file: mean over its prompts."""
    header = ["model", "weights", OURS, "llama.cpp", "ratio", "RMS of ours", "RMS of llama.cpp", "cases no worse"]
    groups = {}
    for s in samples:
        if s["measure"] == "accuracy":
            groups.setdefault((not s["trained"], s["cell"].rsplit("-p", 1)[0]), []).append(s)
    lines = []
    for (is_random, model), found in sorted(groups.items()):
        mean = {k: sum(s[k] for s in found) / len(found) for k in ("value", "peer", "rms", "peer_rms")}
        n = sum(map(no_worse, found))
        lines.append([model, "random" if is_random else "trained", *(f"{mean[k]:.2e}" for k in ("value", "peer")),
                      number(mean["value"] / mean["peer"]) if mean["peer"] else "-",
                      *(f"{mean[k]:.2e}" for k in ("rms", "peer_rms")), f"{n} of {len(found)}"])
    return table(header, lines)


def quietness(samples):
    """How often somebody else used the processor; what counts is the best sample all the same."""
    told = [s["others"] for s in samples if "others" in s and s["measure"] != "busy" and not s.get("quick")]
    if not told:
        return ""
    n = sum(1 for x in told if x > 0.06)
    return f"Other processes used more than 0.06 of a core during {n} of {len(told)} samples of speed."


def render(samples, facts, engines, machine, setting_text):
    """The whole report as Markdown, and its rows."""
    groups = index(samples)
    tables = {m: speed_rows(m, groups, facts, engines) for m in TITLES}
    parts = ["# CPU: Switchyard and its peers", "", f"Machine: {machine['cpu']}, {machine['cores']} cores, "
             f"{machine['memory_gb']} GB, {' '.join(machine['isa'])}, Linux {machine['system']}.",
             "Best of all runs; engines were run in turns, with the bandwidth of a fresh buffer measured beside each "
             "series.", quietness(samples), "", "## Goals over all cells", "",
             table(["goal", "measured", "met"], [[a, b, mark(c)] for a, b, c in summary(tables, facts)])]
    for measure, title in TITLES.items():
        if not tables[measure]:
            continue
        parts += ["", "## " + title, ""]
        if measure == "memory":
            parts.append(render_memory(tables[measure], facts))
        elif measure == "busy":
            parts.append(render_busy(samples, engines))
        elif measure == "accuracy":
            parts.append(render_accuracy(samples))
        else:
            parts.append(render_speed(measure, tables[measure], engines, setting_text))
    return "\n".join(parts) + "\n", tables
