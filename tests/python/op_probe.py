# SPDX-License-Identifier: Apache-2.0
"""One operator in, tensors in, tensors out: the op runner of tests/tools behind ctypes.

    probe = Probe()
    (y,) = probe.run("switchyard", "Linear", 1, [Tensor("f32", x), Weight("Q4_0", w)],
                     [Output("f32", (3, 64))])
"""
import ctypes
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", ROOT / "build" / "release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", ROOT.parent / "shared")) / "data"

TYPES = {"f32": 0, "f16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q8_1": 9,
         "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "Q8_K": 15, "IQ2_XXS": 16,
         "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19, "IQ4_NL": 20, "IQ3_S": 21, "IQ2_S": 22,
         "IQ4_XS": 23, "i8": 24, "i16": 25, "i32": 26, "i64": 27, "f64": 28, "IQ1_M": 29,
         "bf16": 30, "TQ1_0": 34, "TQ2_0": 35, "MXFP4": 39, "NVFP4": 40, "Q1_0": 41, "Q2_0": 42,
         "u8": 64, "u16": 65, "bool": 66, "i4": 67, "u4": 68}
# Elements and bytes of a block.
BLOCKS = {"Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24),
          "Q8_0": (32, 34), "Q8_1": (32, 36), "Q2_K": (256, 84), "Q3_K": (256, 110),
          "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_K": (256, 292),
          "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ3_XXS": (256, 98), "IQ1_S": (256, 50),
          "IQ4_NL": (32, 18), "IQ3_S": (256, 110), "IQ2_S": (256, 82), "IQ4_XS": (256, 136),
          "IQ1_M": (256, 56), "TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17),
          "NVFP4": (64, 36), "Q1_0": (128, 18), "Q2_0": (64, 18), "i4": (2, 1), "u4": (2, 1)}
DTYPES = {"f32": np.float32, "f16": np.float16, "i8": np.int8, "i16": np.int16, "i32": np.int32,
          "i64": np.int64, "f64": np.float64, "u8": np.uint8, "u16": np.uint16, "bool": np.bool_,
          "bf16": np.uint16}  # bf16: its bits
INNER, INPUT, WEIGHT, STATE, OUTPUT = range(5)
NO_VALUE = 0xffffffff
TOKENS = 1


def bf16_bits(values):
    """Round to nearest even."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7fc0), rounded)


def from_bf16(bits):
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def to_bytes(type_name, values):
    if type_name == "bf16":
        return np.ascontiguousarray(bf16_bits(values)).tobytes()
    return np.ascontiguousarray(np.asarray(values).astype(DTYPES[type_name])).tobytes()


def rounded(type_name, values):
    """What `values` are once stored as a float type, as f64."""
    if type_name == "bf16":
        return from_bf16(bf16_bits(values)).astype(np.float64)
    return np.asarray(values).astype(DTYPES[type_name]).astype(np.float64)


class Tensor:
    """An input: a type, a shape, bytes. symbols: {dimension: symbol}, bounds: {dimension: n}."""
    kind = INPUT

    def __init__(self, type_name, values=None, shape=None, data=None, symbols=None):
        self.type_name = type_name
        self.shape = tuple(np.shape(values) if shape is None else shape)
        self.data = to_bytes(type_name, values) if data is None else data
        self.symbols = symbols or {}
        self.bounds = {}


class Weight(Tensor):
    kind = WEIGHT


class State(Tensor):
    """A STATE input; `handles` are one state for each sequence."""
    kind = STATE

    def __init__(self, type_name, n_rows, width, handles):
        super().__init__(type_name, shape=(n_rows, width), data=b"")
        self.handles = handles


class Output:
    def __init__(self, type_name, shape, symbols=None):
        self.type_name, self.shape, self.symbols = type_name, tuple(shape), symbols or {}

    def n_bytes(self):
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(DTYPES[self.type_name]).itemsize

    def read(self, data):
        array = np.frombuffer(data, DTYPES[self.type_name]).reshape(self.shape)
        return from_bf16(array).reshape(self.shape) if self.type_name == "bf16" else array


class Failure(Exception):
    """A status that is not OK."""

    def __init__(self, status, message):
        super().__init__(f"status {status & 0xff}: {message}")
        self.status = status & 0xff


class Operator(ctypes.Structure):
    """sy_test_op"""
    _fields_ = [("domain", ctypes.c_char_p), ("name", ctypes.c_char_p),
                ("version", ctypes.c_uint32)]


class Step(ctypes.Structure):
    """sy_op_step"""
    _fields_ = [("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p),
                ("symbols", ctypes.c_void_p), ("n_symbols", ctypes.c_uint32),
                ("n_sequences", ctypes.c_uint32), ("sequences", ctypes.c_void_p),
                ("states", ctypes.c_void_p), ("n_adapters", ctypes.c_uint32),
                ("adapters", ctypes.c_void_p), ("run", ctypes.c_uint64),
                ("deadline_ns", ctypes.c_uint64)]


def pointers(buffers):
    return (ctypes.c_void_p * max(1, len(buffers)))(
        *[ctypes.cast(b, ctypes.c_void_p) for b in buffers])


def load_library():
    library = ctypes.CDLL(str(BUILD / "bin" / "op_probe.so"))
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    text, count = ctypes.c_char_p, ctypes.c_uint64
    for name, result, arguments in [
            ("open", pointer, [text, text, number, text, count]), ("close", number, [pointer]),
            ("graph_create", pointer, []), ("graph_destroy", None, [pointer]),
            ("value", number, [pointer, text, number, number, number, pointer, pointer]),
            ("weight", number, [pointer, text, number, number, pointer, pointer, count]),
            ("node", number, [pointer, pointer, number, pointer, number, pointer]),
            ("int", None, [pointer, number, text, ctypes.c_int64]),
            ("float", None, [pointer, number, text, ctypes.c_double]),
            ("string", None, [pointer, number, text, text]),
            ("ints", None, [pointer, number, text, pointer, number]),
            ("run", number, [pointer, pointer, pointer, text, count]),
            ("state_create", number, [pointer, number, number, number, count, pointer]),
            ("state_save", number, [pointer, pointer, count, count, pointer, count]),
            ("state_load", number, [pointer, pointer, count, count, text, count]),
            ("state_destroy", number, [pointer, pointer]),
            ("decode", number, [number, text, count, pointer]),
            ("encode", number, [number, pointer, count, pointer])]:
        call = getattr(library, "probe_" + name)
        call.restype, call.argtypes = result, arguments
    return library


def add_attribute(library, graph, node, name, value):
    name = name.encode()
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        library.probe_string(graph, node, name, value)
    elif isinstance(value, float):
        library.probe_float(graph, node, name, value)
    elif isinstance(value, (list, tuple)):
        library.probe_ints(graph, node, name, (ctypes.c_int64 * len(value))(*value), len(value))
    else:
        library.probe_int(graph, node, name, int(value))


class Graph:
    """ONNX nodes over named values. versions: {operator: version}."""

    def __init__(self, versions):
        self.library, self.versions = Probe.shared_library(), versions
        self.graph = self.library.probe_graph_create()
        self.ids, self.keep, self.outputs = {}, [], []

    def value(self, name, type_name, shape, kind=INNER):
        dims = (ctypes.c_int64 * 8)(*shape)
        self.ids[name] = self.library.probe_value(self.graph, name.encode(), kind,
                                                  TYPES[type_name], len(shape), dims, None)
        if kind == OUTPUT:
            self.outputs.append((name, Output(type_name, shape)))
        return name

    def weight(self, name, type_name, array):
        array = np.ascontiguousarray(array)
        data = ctypes.create_string_buffer(array.tobytes(), max(1, array.nbytes))
        self.keep.append(data)
        dims = (ctypes.c_int64 * 8)(*array.shape)
        self.ids[name] = self.library.probe_weight(self.graph, name.encode(), TYPES[type_name],
                                                   array.ndim, dims, data, array.nbytes)
        return name

    def node(self, op, inputs, output, attributes):
        ins = [self.ids[i] if i else NO_VALUE for i in inputs]
        which = Operator(b"", op.encode(), self.versions[op])
        node = self.library.probe_node(self.graph, ctypes.byref(which), len(ins),
                                       (ctypes.c_uint32 * len(ins))(*ins), 1,
                                       (ctypes.c_uint32 * 1)(self.ids[output]))
        for name, value in attributes.items():
            add_attribute(self.library, self.graph, node, name, value)

    def run(self, probe, given):
        """given: the inputs' arrays. Answers {output: array}."""
        ins = [ctypes.create_string_buffer(x.tobytes(), x.nbytes) for x in given]
        outs = [ctypes.create_string_buffer(o.n_bytes()) for _, o in self.outputs]
        probe.submit(self.graph, ins, outs, (), {}, [])
        return {name: o.read(b.raw) for (name, o), b in zip(self.outputs, outs)}

    def close(self):
        self.library.probe_graph_destroy(self.graph)


class Probe:
    """A delegate: the reference, or the plugin file at `path`."""
    library = None

    @classmethod
    def shared_library(cls):
        if Probe.library is None:
            Probe.library = load_library()
        return Probe.library

    def __init__(self, path=None, n_workers=1, options=None):
        self.shared_library()
        message = ctypes.create_string_buffer(1024)
        self.handle = self.library.probe_open(path and str(path).encode(),
                                              options and options.encode(), n_workers, message,
                                              1024)
        if not self.handle:
            raise RuntimeError(message.value.decode())

    def close(self):
        assert self.library.probe_close(self.handle) == 0, "the delegate broke a rule, see stderr"

    def run(self, domain, op, version, inputs, outputs, sequences=(), symbols=None, **attributes):
        """inputs: Tensor, Weight, State or None; answers one array for each output. sequences:
        (first_row, n_tokens, n_past, adapter)."""
        graph = self.library.probe_graph_create()
        try:
            return self.run_in(graph, domain, op, version, inputs, outputs, sequences,
                               symbols or {}, attributes)
        finally:
            self.library.probe_graph_destroy(graph)

    def add_input(self, graph, i, tensor, keep):
        dims = (ctypes.c_int64 * 8)(*[tensor.bounds.get(d, n) for d, n in enumerate(tensor.shape)])
        name, type_number, rank = f"in{i}".encode(), TYPES[tensor.type_name], len(tensor.shape)
        if tensor.kind == WEIGHT:
            data = ctypes.create_string_buffer(tensor.data, max(1, len(tensor.data)))
            keep.append(data)
            return self.library.probe_weight(graph, name, type_number, rank, dims, data,
                                             len(tensor.data))
        symbols = (ctypes.c_uint32 * 8)(*[tensor.symbols.get(d, 0) for d in range(8)])
        return self.library.probe_value(graph, name, tensor.kind, type_number, rank, dims, symbols)

    def run_in(self, graph, domain, op, version, inputs, outputs, sequences, symbols, attributes):
        keep = []
        ins = [NO_VALUE if t is None else self.add_input(graph, i, t, keep)
               for i, t in enumerate(inputs)]
        outs = []
        for i, output in enumerate(outputs):
            dims = (ctypes.c_int64 * 8)(*output.shape)
            numbers = (ctypes.c_uint32 * 8)(*[output.symbols.get(d, 0) for d in range(8)])
            outs.append(self.library.probe_value(graph, f"out{i}".encode(), OUTPUT,
                                                 TYPES[output.type_name], len(output.shape), dims,
                                                 numbers))
        which = Operator(domain.encode(), op.encode(), version)
        node = self.library.probe_node(graph, ctypes.byref(which), len(ins),
                                       (ctypes.c_uint32 * max(1, len(ins)))(*ins), len(outs),
                                       (ctypes.c_uint32 * max(1, len(outs)))(*outs))
        for name, value in attributes.items():
            add_attribute(self.library, graph, node, name, value)
        given = [ctypes.create_string_buffer(t.data, max(1, len(t.data)))
                 for t in inputs if t is not None and t.kind == INPUT]
        got = [ctypes.create_string_buffer(max(1, o.n_bytes())) for o in outputs]
        self.submit(graph, given, got, sequences, symbols,
                    [t for t in inputs if t is not None and t.kind == STATE])
        return [o.read(b.raw[:o.n_bytes()]) for o, b in zip(outputs, got)]

    def submit(self, graph, given, got, sequences, symbols, states):
        in_list, out_list = pointers(given), pointers(got)
        rows = (ctypes.c_uint32 * (4 * max(1, len(sequences))))(*[n for s in sequences for n in s])
        handles = [state.handles[i] for i in range(len(sequences)) for state in states]
        state_list = (ctypes.c_void_p * max(1, len(handles)))(*handles)
        values = (ctypes.c_int64 * 32)(*[symbols.get(i, 0) for i in range(32)])
        step = Step(inputs=ctypes.addressof(in_list), outputs=ctypes.addressof(out_list),
                    symbols=ctypes.addressof(values) if symbols else None, n_symbols=32,
                    n_sequences=len(sequences), sequences=ctypes.addressof(rows),
                    states=ctypes.addressof(state_list))
        message = ctypes.create_string_buffer(1024)
        status = self.library.probe_run(self.handle, graph, ctypes.byref(step), message, 1024)
        if status != 0:
            raise Failure(status, message.value.decode())

    def new_state(self, type_name, width, n_rows, role=0):
        state = ctypes.c_void_p()
        status = self.library.probe_state_create(self.handle, TYPES[type_name], role, width, n_rows,
                                                 ctypes.byref(state))
        if status != 0:
            raise Failure(status, "state_create")
        return state.value

    def load_state(self, state, first, count, data):
        status = self.library.probe_state_load(self.handle, state, first, count, data, len(data))
        if status != 0:
            raise Failure(status, "state_load")

    def save_state(self, state, first, count, n_bytes):
        data = ctypes.create_string_buffer(n_bytes)
        status = self.library.probe_state_save(self.handle, state, first, count, data, n_bytes)
        if status != 0:
            raise Failure(status, "state_save")
        return data.raw

    def free_state(self, state):
        assert self.library.probe_state_destroy(self.handle, state) == 0


def decode(type_name, data, n_elements):
    """A row through the decoder of the reference."""
    out = np.zeros(n_elements, np.float32)
    library = Probe.library or load_library()
    status = library.probe_decode(TYPES[type_name], data, n_elements, out.ctypes.data)
    assert status == 0, f"status {status}"
    return out


def encode(type_name, values):
    values = np.ascontiguousarray(values, np.float32)
    out = ctypes.create_string_buffer(4 * values.size)
    library = Probe.library or load_library()
    status = library.probe_encode(TYPES[type_name], values.ctypes.data, values.size, out)
    assert status == 0, f"status {status}"
    elements, n_bytes = BLOCKS.get(type_name, (1, {"f32": 4}.get(type_name, 2)))
    return out.raw[:values.size // elements * n_bytes]
