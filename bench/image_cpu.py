# SPDX-License-Identifier: Apache-2.0
"""Image networks on the CPU delegate and on onnxruntime, in turns.

    image_cpu.py --build DIR [--build NAME=DIR ...] [--models LIST] [--types LIST] [--threads LIST]

Each DIR is a build folder (cmake -DSY_BENCH=ON); several compare, say, two versions of XNNPACK.
Every engine keeps its model loaded; a round runs each for --ms milliseconds, the next round begins
with another one. Told is the best time of one run, and the median. Results are compared with
onnxruntime's first: `error` is the largest difference over the largest magnitude.
"""
import argparse
import ctypes
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import image_models

ROOT = pathlib.Path(__file__).parents[1]
TYPES = {TensorProto.FLOAT: ("f32", np.float32), TensorProto.FLOAT16: ("f16", np.float16),
         TensorProto.INT8: ("i8", np.int8), TensorProto.UINT8: ("u8", np.uint8),
         TensorProto.INT32: ("i32", np.int32), TensorProto.INT64: ("i64", np.int64)}


class Error(ctypes.Structure):
    """sy_error, with room to spare."""
    _fields_ = [("bytes", ctypes.c_char * 4096)]

    def text(self):
        return bytes(self).replace(b"\0", b" ").decode(errors="replace").strip()[:300]


class Switchyard:
    """One model loaded in one build's plugin."""

    def __init__(self, build, model, n_threads, options):
        import op_probe
        self.probe, self.error = op_probe, Error()
        self.graph = op_probe.Graph(image_models.VERSIONS)
        self.library = ctypes.CDLL(str(build / "bin/sy_image_bench.so"))
        self.library.image_open.restype = ctypes.c_void_p
        plugin = str(build / "plugins/cpu-xnnpack/cpu-xnnpack.so").encode()
        self.handle = self.library.image_open(plugin, n_threads, options.encode(),
                                              ctypes.byref(self.error))
        if not self.handle:
            self.graph.close()
            raise RuntimeError(self.error.text())
        try:
            self.load(model.graph)
        except RuntimeError:
            self.close()
            raise

    def check(self, status):
        if status != 0:
            raise RuntimeError(f"status {status}: {self.error.text()}")

    def load(self, graph):
        self.read(graph)
        sizes = (ctypes.c_uint64 * 2)()
        start = time.perf_counter()
        self.check(self.library.image_load(ctypes.c_void_p(self.handle),
                                           ctypes.c_void_p(self.graph.graph), sizes,
                                           ctypes.byref(self.error)))
        self.load_ms = (time.perf_counter() - start) * 1e3
        self.weight_mib, self.scratch_mib = (n / 2 ** 20 for n in sizes)

    def read(self, graph):
        known = {v.name: v.type.tensor_type
                 for v in [*graph.value_info, *graph.input, *graph.output]}
        weights = {w.name: w for w in graph.initializer}
        ends = [o.name for o in graph.output]

        def value(name, kind):
            shape = [d.dim_value for d in known[name].shape.dim]
            self.graph.value(name, TYPES[known[name].elem_type][0], shape, kind)

        for info in graph.input:
            value(info.name, self.probe.INPUT)
        for name in ends:
            value(name, self.probe.OUTPUT)
        for node in graph.node:
            for name in node.input:
                if name in weights and name not in self.graph.ids:
                    self.graph.weight(name, TYPES[weights[name].data_type][0],
                                      numpy_helper.to_array(weights[name]))
            for name in node.output:
                if name and name not in ends:
                    value(name, self.probe.INNER)
        for node in graph.node:
            self.graph.node(node.op_type, node.input, node.output[0],
                            {a.name: helper.get_attribute_value(a) for a in node.attribute})

    def start(self, given):
        ins = [ctypes.create_string_buffer(x.tobytes(), x.nbytes) for x in given]
        outputs = [o for _, o in self.graph.outputs]
        outs = [ctypes.create_string_buffer(o.n_bytes()) for o in outputs]
        lists = self.probe.pointers(ins), self.probe.pointers(outs)
        self.step = self.probe.Step(inputs=ctypes.addressof(lists[0]),
                                    outputs=ctypes.addressof(lists[1]))
        self.keep = ins, outs, lists
        self.run(1)
        return [o.read(b.raw) for o, b in zip(outputs, outs)]

    def run(self, n):
        times = (ctypes.c_uint64 * n)()
        self.check(self.library.image_run(ctypes.c_void_p(self.handle), ctypes.byref(self.step),
                                          n, times, ctypes.byref(self.error)))
        return [t / 1e6 for t in times]

    def close(self):
        self.library.image_close(ctypes.c_void_p(self.handle))
        self.graph.close()


class Onnxruntime:
    """Buffers bound once, so that nothing is copied in or out."""
    weight_mib = scratch_mib = 0.0

    def __init__(self, model, n_threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.log_severity_level = 3
        start = time.perf_counter()
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                                    providers=["CPUExecutionProvider"])
        self.load_ms = (time.perf_counter() - start) * 1e3

    def start(self, given):
        import onnxruntime
        self.binding = self.session.io_binding()
        self.keep = [onnxruntime.OrtValue.ortvalue_from_numpy(x) for x in given]
        for info, x in zip(self.session.get_inputs(), self.keep):
            self.binding.bind_ortvalue_input(info.name, x)
        results = self.session.run(None, {i.name: x for i, x in
                                          zip(self.session.get_inputs(), given)})
        for info, y in zip(self.session.get_outputs(), results):
            made = onnxruntime.OrtValue.ortvalue_from_numpy(y)
            self.keep.append(made)
            self.binding.bind_ortvalue_output(info.name, made)
        return results

    def run(self, n):
        times = []
        for _ in range(n):
            start = time.perf_counter()
            self.session.run_with_iobinding(self.binding)
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def close(self):
        del self.binding, self.session, self.keep


def inputs_of(model):
    random = np.random.default_rng(11)
    made = []
    for info in model.graph.input:
        shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
        made.append(random.normal(0, 1, shape).astype(TYPES[info.type.tensor_type.elem_type][1]))
    return made


def difference(expected, got):
    worst = 0.0
    for a, b in zip(expected, got):
        a, b = a.astype(np.float64), b.astype(np.float64)
        worst = max(worst, np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))
    return worst


def measure(engines, rounds, ms):
    times = {name: [] for name in engines}
    names = list(engines)
    for i_round in range(rounds):
        for i in range(len(names)):
            name = names[(i + i_round) % len(names)]
            time.sleep(0.03)  # whoever still spins for more work goes to sleep
            warm = max(3, int(20 / max(engines[name].run(2)[-1], 1e-3)))
            once = engines[name].run(warm)[-1]
            times[name] += engines[name].run(max(3, int(ms / max(once, 1e-3))))
    return times


def one(args, model, kind, name, n_threads, builds):
    engines, given = {}, inputs_of(model)
    engines["onnxruntime"] = Onnxruntime(model, n_threads)
    for label, build in builds.items():
        try:
            engines[label] = Switchyard(build, model, n_threads, args.options)
        except RuntimeError as refused:
            print(f"{name:16} {kind:5} {n_threads:7} {label:12} {refused}")
    results = {label: e.start(given) for label, e in engines.items()}
    times = measure(engines, args.rounds, args.ms)
    rows = []
    for label, e in engines.items():
        rows.append({"model": name, "type": kind, "threads": n_threads, "engine": label,
                     "best_ms": min(times[label]), "median_ms": statistics.median(times[label]),
                     "load_ms": e.load_ms, "weight_mib": e.weight_mib,
                     "scratch_mib": e.scratch_mib,
                     "error": difference(results["onnxruntime"], results[label])})
        rows[-1]["ratio"] = rows[0]["best_ms"] / rows[-1]["best_ms"]
        e.close()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="append", required=True)
    parser.add_argument("--models", default=",".join([*image_models.REAL, "mobilenet-v2",
                                                      "mobilenet-v3", "resnet-18", "resnet-50"]))
    parser.add_argument("--types", default="f32,int8")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ms", type=float, default=150)
    parser.add_argument("--options", default="", help="of the delegate, key=value")
    parser.add_argument("--cache", type=pathlib.Path, help="folder that keeps the models made")
    parser.add_argument("--json", type=pathlib.Path, help="adds every figure to this file")
    parser.add_argument("--make-only", action="store_true")
    args = parser.parse_args()
    names, kinds = args.models.split(","), args.types.split(",")
    for given, wanted in ((names, [*image_models.GENERATED, *image_models.REAL]),
                          (kinds, image_models.FORMS)):
        for word in given:
            if word not in wanted:
                parser.error(f"{word} is none of {', '.join(wanted)}")
    builds = {}
    for text in args.build:
        label, _, path = text.rpartition("=")
        builds[label or "switchyard"] = pathlib.Path(path)
    os.environ["SY_BUILD_DIR"] = str(next(iter(builds.values())))
    sys.path.insert(0, str(ROOT / "tests/python"))
    from op_probe import SHARED
    print(f"{'model':16} {'type':5} {'threads':>7} {'engine':12} {'best ms':>8} {'median':>8} "
          f"{'ratio':>6} {'load ms':>8} {'MiB':>6} {'error':>8}")
    for name in names:
        for kind in kinds:
            model = made(name, kind, SHARED, args.cache)
            for n_threads in [] if args.make_only else map(int, args.threads.split(",")):
                for row in one(args, model, kind, name, n_threads, builds):
                    tell(row, args.json)


def made(name, kind, data, cache):
    path = cache / f"{name}-{kind}.onnx" if cache else None
    if path and path.is_file():
        return onnx.load(path)
    model = image_models.make(name, kind, data)
    if path:
        cache.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)
    return model


def tell(row, path):
    print(f"{row['model']:16} {row['type']:5} {row['threads']:7} {row['engine']:12} "
          f"{row['best_ms']:8.3f} {row['median_ms']:8.3f} {row['ratio']:6.2f} "
          f"{row['load_ms']:8.1f} {row['weight_mib'] + row['scratch_mib']:6.1f} "
          f"{row['error']:8.1e}", flush=True)
    if path:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
