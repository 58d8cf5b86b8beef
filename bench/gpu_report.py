# SPDX-License-Identifier: Apache-2.0
"""The tables of gpu.py: medians of every engine side by side, and where llama.cpp is ahead."""
import gpu_engines
from report import OURS, median, number, share, table

PEER = "llama.cpp"
SHOWN = {OURS: "switchyard, CPU", PEER: "llama.cpp, Vulkan"}
STARTS = ("first", "again", "blobs")


def groups_of(samples):
    """{(cell, engine, row): samples}"""
    found = {}
    for s in samples:
        found.setdefault((s["cell"], s["engine"], s["row"]), []).append(s)
    return found


def median_of(groups, cell, engine, row, key="value"):
    values = [s[key] for s in groups.get((cell, engine, row), []) if s.get(key) is not None]
    return median(values) if values else None


def used_share(groups, cell, engine, known):
    """Part of a real device's bandwidth that decoding uses."""
    speed, bandwidth = (median_of(groups, cell, engine, "decode", key) for key in ("value", "device_gbs"))
    return speed * known[cell]["decode_bytes"] / 1e9 / bandwidth if speed and bandwidth and cell in known else None


def speed_row(groups, cell, engine, known):
    get = lambda row, key="value": median_of(groups, cell, engine, row, key)
    ratio = lambda row: get(row) / median_of(groups, cell, PEER, row) if median_of(groups, cell, PEER, row) else None
    if get("decode") is None:
        return None
    peers = [number(ratio("decode")), number(ratio("prefill"))] if engine != PEER else ["", ""]
    return [cell, SHOWN.get(engine, engine), number(get("decode")), peers[0], number(get("prefill")), peers[1],
            number(get("decode", "host_us")), number(get("decode", "process_us")), number(get("prefill", "host_us")),
            number(get("decode", "written_bytes")), number(get("decode", "read_bytes")), number(get("decode", "device_mib")),
            share(used_share(groups, cell, engine, known))]


def start_row(groups, cell, engine):
    lines = [cell, SHOWN.get(engine, engine)]
    for row in STARTS:
        ms = median_of(groups, cell, engine, row)
        compiled, loaded = (median_of(groups, cell, engine, row, key) for key in ("compiled", "from_blobs"))
        told = f" ({compiled:.0f} + {loaded:.0f})" if ms is not None and compiled is not None and compiled + loaded else ""
        lines.append(number(ms) + told)
    lines.append(number(median_of(groups, cell, engine, "again", "peak_mib")))
    return lines if any(cell != "-" for cell in lines[2:]) else None


def behind(groups, cells, engines):
    """What llama.cpp does better than one of the GPU delegates."""
    for cell in cells:
        for engine in (e for e in engines if e in gpu_engines.DELEGATES):
            for row, key, more_is_better in (("decode", "value", True), ("prefill", "value", True),
                                             ("decode", "host_us", False), ("first", "value", False),
                                             ("again", "value", False)):
                ours, theirs = (median_of(groups, cell, e, row, key) for e in (engine, PEER))
                if ours and theirs and (ours < theirs if more_is_better else ours > theirs):
                    what = f"{row}, CPU us/token" if key == "host_us" else row
                    yield [cell, engine, what, number(ours), number(theirs),
                           number(ours / theirs if more_is_better else theirs / ours)]


def devices(samples):
    """A line for each engine's device; where llama.cpp left weights to the CPU, how many."""
    found, left = {}, {}
    for s in samples:
        if "device" in s:
            found[(s["engine"], s["device"])] = True
            if s.get("host_mib", 0) >= 1:
                left[s["cell"]] = f"{s['cell']} {s['host_mib']:.0f} MiB"
    lines = [f"- {SHOWN.get(engine, engine)}: {device}" for engine, device in found]
    if left:
        lines.append("- llama.cpp has all layers on the device. Of the embeddings and the matrix behind the layers it left to the "
                     "CPU: " + ", ".join(left.values()))
    return lines


def render(samples, cells, known, engines, machine, threads):
    groups, names = groups_of(samples), [c.name for c in cells]
    real = [s for s in samples if s["engine"] in gpu_engines.DELEGATES and "device" in s
            and not gpu_engines.SOFTWARE.search(s["device"])]
    times = sorted(s["time"] for s in samples)
    lengths = sorted({f"{c.shape} {c.n_prefill} + {c.n_decode}" for c in cells})
    parts = ["# GPU delegates: Switchyard and llama.cpp", "",
             f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux {machine['system']}; "
             f"{times[0][:10] if times else 'no date'}. {threads} threads for the CPU and for devices in software.",
             "" if real else "No real GPU: the devices below compute on the CPU.", "", *devices(samples), "",
             f"Medians of all samples; engines took turns. Tokens of prefill and decode: {', '.join(lengths)}. `x`: times "
             "llama.cpp's speed on Vulkan.",
             "`host us`: processor time a token of the threads that submit; `process us`: of the whole process, with a device "
             "in software. Bytes are those", "of decoding, to the device and back, a token.", "",
             "## Speed and what it costs the host", ""]
    rows = [speed_row(groups, cell, engine, known) for cell in names for engine in engines]
    parts.append(table(["model", "engine", "decode tokens/s", "x", "prefill tokens/s", "x", "decode host us",
                        "decode process us", "prefill host us", "bytes there", "back", "device MiB", "share of bandwidth"],
                       [row for row in rows if row]))
    starts = [start_row(groups, cell, engine) for cell in names for engine in engines]
    parts += ["", "## Process start to first token, 16-token prompt (ms)", "",
              "`first`: nothing is there that anybody compiled; `again`: all of it; `blobs`: Switchyard's blobs, but nothing that "
              "the driver keeps.", "In brackets: segments compiled + segments from blobs.", "",
              table(["model", "engine", *STARTS, "peak MiB"], [row for row in starts if row])]
    lost = list(behind(groups, names, engines))
    if lost:
        parts += ["", "## Where llama.cpp is ahead", "",
                  table(["model", "engine", "what", "ours", "llama.cpp", "times better"], lost)]
    return "\n".join(parts) + "\n"
