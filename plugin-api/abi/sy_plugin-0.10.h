/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switchyard delegate ABI, version 0.10.
 *
 * This header stands alone: a delegate is one shared object that includes this file and the C
 * standard headers, links nothing of Switchyard and exports exactly one symbol, sy_plugin_entry.
 * RULES.md beside this file numbers what both sides must keep; "SYP-n" below refers to it.
 *
 * Reading order: status -> versions and growth -> memory -> graph view -> the five questions
 * (enumerate, judge, price, link, probe) -> compile, load, submit -> state -> adapters -> the two
 * tables.
 *
 * Every multi-byte field is in native byte order. Every string is UTF-8 and NUL-terminated.
 */
#ifndef SY_PLUGIN_H
#define SY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------
 * 1 Status
 * The low byte is the class and alone decides what the receiver does next; classes 0-16 carry the
 * gRPC numbers. The upper 24 bits are a detail: an old host that meets a new detail still knows
 * the class.
 */
typedef uint32_t sy_status;

enum {
    SY_OK = 0,
    SY_CANCELLED = 1,           /* the caller asked to stop */
    SY_UNKNOWN = 2,             /* no better class known; treated as INTERNAL */
    SY_INVALID_ARGUMENT = 3,    /* the caller broke the contract of this call */
    SY_DEADLINE_EXCEEDED = 4,   /* too late; the work was given up */
    SY_NOT_FOUND = 5,           /* a named thing does not exist */
    SY_ALREADY_EXISTS = 6,      /* a name is taken */
    SY_PERMISSION_DENIED = 7,   /* policy or trust forbids it */
    SY_RESOURCE_EXHAUSTED = 8,  /* memory or another budget; retry after freeing */
    SY_FAILED_PRECONDITION = 9, /* not in this state of the object */
    SY_ABORTED = 10,            /* a conflict; the whole transaction may be retried */
    SY_OUT_OF_RANGE = 11,       /* a value past a stated limit, e.g. a full session */
    SY_UNIMPLEMENTED = 12,      /* this delegate or build does not offer it */
    SY_INTERNAL = 13,           /* a bug on the answering side */
    SY_UNAVAILABLE = 14,        /* device busy or gone; see the details below */
    SY_DATA_LOSS = 15,          /* bytes are corrupt: a file, a blob, a saved state */
    SY_UNAUTHENTICATED = 16     /* signature missing or wrong */
};

/* Details, valid under the class named in the comment. */
enum {
    SY_DETAIL_NONE = 0,
    SY_DETAIL_DEVICE_LOST = 1,       /* UNAVAILABLE: every handle of the device is dead */
    SY_DETAIL_DEVICE_BUSY = 2,       /* UNAVAILABLE: try again later */
    SY_DETAIL_BLOB_STALE = 3,        /* FAILED_PRECONDITION: blob is for other driver or device */
    SY_DETAIL_BLOB_CORRUPT = 4,      /* DATA_LOSS */
    SY_DETAIL_BUDGET = 5,            /* RESOURCE_EXHAUSTED: refused by a configured budget */
    SY_DETAIL_POISONED = 6,          /* ABORTED: an earlier job this one waited for failed */
    SY_DETAIL_VERSION = 7,           /* UNIMPLEMENTED: ABI or format version */
    SY_DETAIL_REQUIRED_EXTENSION = 8 /* UNIMPLEMENTED: an extension marked `must` is unknown */
};

#define SY_STATUS(status_class, detail) \
    ((sy_status)((uint32_t)(status_class) | (uint32_t)(detail) << 8))
#define SY_STATUS_CLASS(status) ((status)&0xffu)
#define SY_STATUS_DETAIL(status) ((status) >> 8)

/* ---------------------------------------------------------------------------------------------
 * 2 Versions and growth
 * ABI numbers are major << 16 | minor. Same major is required, the minor is negotiated downwards
 * (SYP-2, SYP-3). Two kinds of struct exist:
 *   open   begins with sy_header, is passed by pointer only, arrays of it carry a stride, grows at
 *          its end in a minor. A reader uses min(own size, header.size) bytes; a missing tail reads
 *          as zero and zero means "as before". A larger struct is never refused.
 *   frozen has no header and never changes within a major.
 */
#define SY_ABI_MAJOR 0u
#define SY_ABI_MINOR 10u
#define SY_ABI_VERSION (SY_ABI_MAJOR << 16 | SY_ABI_MINOR)

/* An extension of an open struct. Frozen. must = 1: refuse the call if `id` is unknown (SYP-4). */
typedef struct sy_extension {
    const struct sy_extension *next;
    uint32_t id;   /* >= 0x80000000: experimental, off unless the INI allows it, never reused */
    uint32_t size; /* of the whole extension struct in bytes */
    uint32_t must; /* 0 ignore if unknown, 1 refuse if unknown */
    uint32_t reserved;
} sy_extension;

/* Opens every open struct. Frozen. */
typedef struct sy_header {
    uint32_t size; /* bytes of the struct the writer knows */
    uint32_t abi;  /* the ABI number the writer was built with */
    const sy_extension *extensions;
} sy_header;

#define SY_HEADER_INIT(type) \
    { (uint32_t)sizeof(type), SY_ABI_VERSION, NULL }
/* True when the struct that `pointer` leads to is large enough to hold `field`. */
#define SY_HAS_FIELD(pointer, type, field) \
    ((pointer)->header.size >= offsetof(type, field) + sizeof((pointer)->field))

/* Opaque objects. The side that creates one defines it. */
typedef struct sy_context sy_context; /* host: identifies the plugin towards the host */
typedef struct sy_device sy_device;   /* plugin: one opened device */
typedef struct sy_unit sy_unit;       /* plugin: one loaded segment */
typedef struct sy_buffer sy_buffer;   /* plugin: one buffer of a device */
typedef struct sy_state sy_state;     /* plugin: one state (KV cache, recurrent) of one sequence */
typedef struct sy_adapter_weights sy_adapter_weights; /* plugin: one adapter (LoRA) on a device */
typedef struct sy_graph_handle sy_graph_handle;       /* host: behind a graph view */

/* ---------------------------------------------------------------------------------------------
 * 3 Element types
 * Plain types hold one element in `sizeof` bytes. Block types store 32 (Q4_0 to Q8_1, IQ4_NL,
 * MXFP4), 64 (NVFP4, Q2_0), 128 (Q1_0) or 256 (the others) consecutive elements of a row together;
 * their byte layout is that of the GGUF type of the same name and the numbers of this enum are the
 * GGUF type numbers where one exists, so that a reader can cross-check. Later minors add numbers: a
 * delegate answers "no" to a type it does not know.
 */
typedef uint32_t sy_element_type;
enum {
    SY_TYPE_F32 = 0,
    SY_TYPE_F16 = 1,
    SY_TYPE_Q4_0 = 2,
    SY_TYPE_Q4_1 = 3,
    SY_TYPE_Q5_0 = 6,
    SY_TYPE_Q5_1 = 7,
    SY_TYPE_Q8_0 = 8,
    SY_TYPE_Q8_1 = 9,
    SY_TYPE_Q2_K = 10,
    SY_TYPE_Q3_K = 11,
    SY_TYPE_Q4_K = 12,
    SY_TYPE_Q5_K = 13,
    SY_TYPE_Q6_K = 14,
    SY_TYPE_Q8_K = 15,
    SY_TYPE_IQ2_XXS = 16,
    SY_TYPE_IQ2_XS = 17,
    SY_TYPE_IQ3_XXS = 18,
    SY_TYPE_IQ1_S = 19,
    SY_TYPE_IQ4_NL = 20,
    SY_TYPE_IQ3_S = 21,
    SY_TYPE_IQ2_S = 22,
    SY_TYPE_IQ4_XS = 23,
    SY_TYPE_I8 = 24,
    SY_TYPE_I16 = 25,
    SY_TYPE_I32 = 26,
    SY_TYPE_I64 = 27,
    SY_TYPE_F64 = 28,
    SY_TYPE_IQ1_M = 29,
    SY_TYPE_BF16 = 30,
    SY_TYPE_TQ1_0 = 34,
    SY_TYPE_TQ2_0 = 35,
    SY_TYPE_MXFP4 = 39,
    SY_TYPE_NVFP4 = 40,
    SY_TYPE_Q1_0 = 41,
    SY_TYPE_Q2_0 = 42,
    SY_TYPE_U8 = 64,
    SY_TYPE_U16 = 65,
    SY_TYPE_BOOL = 66, /* one byte, 0 or 1 */
    SY_TYPE_I4 = 67,   /* two per byte, low nibble first */
    SY_TYPE_U4 = 68
};
#define SY_TYPE_INVALID 0xffffffffu

/* ---------------------------------------------------------------------------------------------
 * 4 Memory
 */
/* Kinds of memory; a set is an OR of 1 << kind. */
typedef uint32_t sy_memory_kind;
enum {
    SY_MEMORY_HOST = 0,   /* plain process memory: `pointer`, and offset_bytes is 0 */
    SY_MEMORY_MEMFD = 1,  /* sealed or shared memfd: `fd`, `offset` */
    SY_MEMORY_DMABUF = 2, /* Linux dma-buf: `fd`, `offset` */
    SY_MEMORY_OPAQUE = 3, /* of the device; only this device's own calls reach it */
    SY_MEMORY_KIND_COUNT = 4
};
#define SY_MEMORY_BIT(kind) (1u << (kind))

/* A range of memory. Frozen. The receiver of an fd dups it if it keeps it (SYP-12). */
typedef struct sy_memory {
    sy_memory_kind kind;
    int32_t fd;    /* -1 where the kind has none */
    void *pointer; /* NULL where the kind has none; 64-byte aligned for activations */
    uint64_t offset_bytes;
    uint64_t length_bytes;
} sy_memory;

/* A point on a timeline fence: reached when the fence's value is >= value. Frozen. */
typedef struct sy_point {
    uint64_t fence;
    uint64_t value;
} sy_point;

/* ---------------------------------------------------------------------------------------------
 * 5 Graph view
 * A read-only view of (part of) a graph, valid during the call that receives it. Weight memory
 * reached through it stays mapped and unchanged until the last unit loaded from it is unloaded.
 */
#define SY_MAX_RANK 8u
#define SY_NO_VALUE 0xffffffffu /* an optional input that is not given */

/* One dimension: value = symbol == 0 ? bound : scale * symbol value + offset <= bound. Frozen. */
typedef struct sy_dimension {
    int64_t bound;   /* largest value this dimension can take, >= 0 */
    uint32_t symbol; /* 0: fixed; else one of SY_SYMBOL_* or a graph-defined number above them */
    int32_t scale;
    int64_t offset;
} sy_dimension;

/* Symbols with a meaning of their own. A graph may define more from SY_SYMBOL_FIRST_FREE on. */
enum {
    SY_SYMBOL_NONE = 0,
    SY_SYMBOL_TOKENS = 1,    /* n_tokens: rows of this step over all sequences */
    SY_SYMBOL_OUTPUTS = 2,   /* n_outputs: rows whose result leaves the graph */
    SY_SYMBOL_SEQUENCES = 3, /* n_sequences of this step */
    SY_SYMBOL_FIRST_FREE = 8,
    SY_SYMBOL_COUNT_MAX = 32
};

typedef uint32_t sy_value_kind;
enum {
    SY_VALUE_ACTIVATION = 0, /* made by a node, lives within a step */
    SY_VALUE_INPUT = 1,      /* bound by the caller each step */
    SY_VALUE_WEIGHT = 2,     /* constant data, read-only, possibly mapped from a file */
    SY_VALUE_STATE = 3,      /* owned by the delegate that runs the node, see section 9 */
    SY_VALUE_OUTPUT = 4      /* an activation that leaves the graph */
};

/* One value. Frozen. Row-major, innermost dimension last; block types run along the last one. */
typedef struct sy_value_view {
    const char *name;
    sy_value_kind kind;
    sy_element_type type;
    uint32_t rank;
    uint32_t reserved;
    sy_dimension dims[SY_MAX_RANK];
    sy_memory data;     /* WEIGHT: the bytes; else length_bytes = bytes at the bounds */
    uint8_t digest[32]; /* WEIGHT: identity of the content; all zero: ask host->weight_digest */
} sy_value_view;

typedef uint32_t sy_attribute_type;
enum {
    SY_ATTRIBUTE_INT = 1,
    SY_ATTRIBUTE_FLOAT = 2,
    SY_ATTRIBUTE_STRING = 3,
    SY_ATTRIBUTE_INTS = 4,
    SY_ATTRIBUTE_FLOATS = 5
};

/* One attribute, named as in the operator's specification. Frozen. */
typedef struct sy_attribute {
    const char *name;
    sy_attribute_type type;
    uint32_t count; /* elements of an array, bytes of a string without its NUL, else 1 */
    union {
        int64_t i;
        double f;
        const char *s;
        const int64_t *ints;
        const double *floats;
    } value;
} sy_attribute;

/* One node. Frozen. An operator is (domain, name, version): "" is ONNX, "switchyard" is ours
 * (docs/operators.md). New operators need no ABI step: answer "no" to what you do not know. */
typedef struct sy_node_view {
    const char *domain;
    const char *op;
    uint32_t version; /* opset in which the operator got this meaning */
    uint32_t n_inputs, n_outputs, n_attributes;
    const uint32_t *inputs; /* value indexes, SY_NO_VALUE for an absent optional one */
    const uint32_t *outputs;
    const sy_attribute *attributes;
    const char *name;
} sy_node_view;

typedef uint32_t sy_phase;
enum { SY_PHASE_ANY = 0, SY_PHASE_PREFILL = 1, SY_PHASE_DECODE = 2 };

/* The view. Open. Nodes are in a topological order. */
typedef struct sy_graph_view {
    sy_header header;
    uint32_t n_nodes, n_values;
    sy_phase phase;         /* what the plan is for */
    uint32_t n_symbols;     /* length of typical */
    const int64_t *typical; /* the symbol values to estimate time for, index = symbol */
    sy_graph_handle *graph;
    sy_status (*node)(sy_graph_handle *graph, uint32_t i_node, sy_node_view *out_node);
    sy_status (*value)(sy_graph_handle *graph, uint32_t i_value, sy_value_view *out_value);
} sy_graph_view;

/* A candidate or chosen segment: nodes of one view that one delegate runs together. Open.
 * inputs and outputs are the boundary: value indexes that a job binds, in this order. */
typedef struct sy_segment {
    sy_header header;
    uint32_t n_nodes;
    const uint32_t *nodes; /* ascending */
    uint32_t n_inputs, n_outputs, n_states;
    const uint32_t *inputs;  /* activations and graph inputs read from outside; no weights */
    const uint32_t *outputs; /* values read by others */
    const uint32_t *states;  /* STATE values touched, in the order of sy_job.states */
    uint32_t numerics;       /* SY_NUMERICS_* */
    const char *options;     /* "key=value\n..." from the INI section of this delegate, or NULL */
} sy_segment;
enum { SY_NUMERICS_DEFAULT = 0, SY_NUMERICS_STRICT = 1, SY_NUMERICS_FAST = 2 };

/* ---------------------------------------------------------------------------------------------
 * 6 Answers of a delegate
 */
typedef uint32_t sy_device_class;
enum {
    SY_DEVICE_CPU = 0,
    SY_DEVICE_GPU = 1,
    SY_DEVICE_NPU = 2,
    SY_DEVICE_DSP = 3,
    SY_DEVICE_OTHER = 4
};

/* enumerate: one device. Open. Unknown figures are 0. */
typedef struct sy_device_info {
    sy_header header;
    char id[64]; /* stable within the plugin, e.g. "cpu0", "Mali-G78" */
    char soc[64];
    char driver[64]; /* read now, not at build time */
    char firmware[64];
    sy_device_class device_class;
    uint32_t memory_in;  /* set of memory kinds accepted as inputs and outputs */
    uint32_t memory_own; /* set of memory kinds buffer_create can make */
    uint32_t n_queues;
    uint64_t memory_total_bytes, memory_free_bytes;
    float read_gb_per_s; /* memory bandwidth */
    float tops_int8;     /* 10^12 multiply-adds per second */
    float tflops_f16, tflops_f32;
    uint32_t alignment_bytes; /* of imported memory and bound offsets; 0 means 64 */
    uint32_t reserved;
} sy_device_info;

typedef uint32_t sy_support;
enum { SY_SUPPORT_NO = 0, SY_SUPPORT_EMULATED = 1, SY_SUPPORT_NATIVE = 2, SY_SUPPORT_FUSED = 3 };

typedef uint32_t sy_reason;
enum {
    SY_REASON_NONE = 0,
    SY_REASON_OPERATOR = 1,  /* operator or version unknown */
    SY_REASON_TYPE = 2,      /* element type */
    SY_REASON_SHAPE = 3,     /* rank, size or dynamic dimension */
    SY_REASON_ATTRIBUTE = 4, /* attribute value */
    SY_REASON_LAYOUT = 5,
    SY_REASON_MEMORY = 6,       /* would not fit */
    SY_REASON_DRIVER = 7,       /* known defect of this driver or firmware */
    SY_REASON_STATIC_SHAPE = 8, /* only with the sizes in only_tokens */
    SY_REASON_OTHER = 9
};

#define SY_REASON_TEXT_BYTES 96u
#define SY_STATIC_SIZES_MAX 8u

/* judge: one verdict per node. Open. support NO needs reason and why (SYP-8). */
typedef struct sy_verdict {
    sy_header header;
    sy_support support;
    sy_reason reason;
    uint32_t score; /* capability 0-100: how well this device suits the node */
    uint32_t group; /* != 0: nodes with equal group would like to be one segment */
    float time_us;  /* estimate at the view's typical sizes, without launch */
    float first_us; /* extra time of the first run */
    float energy_uj;
    float confidence;       /* 0: not known, measure me; 1: measured on this device */
    uint32_t n_only_tokens; /* > 0: supported only with these n_tokens; the plan keeps buckets */
    uint32_t only_tokens[SY_STATIC_SIZES_MAX];
    char why[SY_REASON_TEXT_BYTES];
} sy_verdict;

/* price and link: what a segment or a transfer costs. Open. */
typedef struct sy_cost {
    sy_header header;
    float time_us; /* per run at the view's typical sizes, with launch */
    float first_us;
    float launch_us;
    float energy_uj;
    float confidence;
    uint32_t reserved;
    uint64_t scratch_bytes; /* shared between the units of a device */
    uint64_t weight_bytes;  /* memory the delegate takes beside the mapped weights */
    uint64_t compile_us;
} sy_cost;

/* health. Open. epoch rises whenever all earlier handles died. */
typedef struct sy_health {
    sy_header header;
    uint32_t epoch;
    uint32_t state;        /* SY_HEALTH_* */
    uint32_t throttle_pct; /* 0 full speed, 100 stopped */
    uint32_t reserved;
    uint64_t memory_free_bytes, live_handles, live_jobs;
} sy_health;
enum { SY_HEALTH_OK = 0, SY_HEALTH_THROTTLED = 1, SY_HEALTH_LOST = 2 };

/* ---------------------------------------------------------------------------------------------
 * 7 Blobs (ahead-of-time or cached compilation results)
 */
/* A blob as bytes. Open. stamp: what probe compares - device, driver, compiler, options. */
typedef struct sy_blob {
    sy_header header;
    uint32_t format; /* of the plugin */
    uint32_t reserved;
    sy_memory bytes;
    char stamp[128];
    uint8_t segment_digest[32]; /* host fills: topology, shapes, types, attributes */
} sy_blob;

typedef uint32_t sy_grade;
enum { SY_GRADE_EXACT = 0, SY_GRADE_USABLE = 1, SY_GRADE_RECOMPILE = 2, SY_GRADE_REJECT = 3 };

/* probe: may this blob be loaded here? Open. Anything but EXACT needs why. */
typedef struct sy_compatibility {
    sy_header header;
    sy_grade grade;
    sy_reason reason;
    char why[SY_REASON_TEXT_BYTES];
} sy_compatibility;

/* ---------------------------------------------------------------------------------------------
 * 8 Loading and running
 */
/* load. Open. blob is NULL when the plugin offers no compile; view and segment are always given. */
typedef struct sy_load_request {
    sy_header header;
    const sy_graph_view *view;
    const sy_segment *segment;
    const sy_blob *blob;
} sy_load_request;

/* What a loaded unit needs. Open, written by load through out_info. */
typedef struct sy_unit_info {
    sy_header header;
    uint64_t scratch_bytes; /* the host passes at least this much in sy_job.scratch */
    uint64_t weight_bytes;  /* memory the unit holds beside the mapped weights */
} sy_unit_info;

/* Where one boundary value lies during a job. Frozen. */
typedef struct sy_binding {
    sy_buffer *buffer;
    uint64_t offset_bytes;
    uint64_t length_bytes; /* bytes at the job's symbol values */
} sy_binding;

/* One sequence of a ragged step. Frozen. Its rows are [first_row, first_row + n_tokens) of every
 * value whose outermost dimension is SY_SYMBOL_TOKENS. Rows are written to the states at
 * [n_past, n_past + n_tokens): a step that fails is simply repeated with the same n_past. */
typedef struct sy_sequence {
    uint32_t first_row;
    uint32_t n_tokens;
    uint32_t n_past;  /* committed tokens already in the states */
    uint32_t adapter; /* 0 none, else 1 + index of its first sy_adapter_use in sy_job.adapters */
} sy_sequence;

/* One adapter at work on the rows of a sequence, section 10. Frozen. */
typedef struct sy_adapter_use {
    sy_adapter_weights *weights; /* of the device that runs the job */
    float scale;                 /* the pairs' own scale is multiplied by it */
    uint32_t more;               /* 1: the use that follows works on the same rows, too */
} sy_adapter_use;

/* One run of one unit. Open. Arrays live until the job's signals are reached. */
typedef struct sy_job {
    sy_header header;
    const int64_t *symbols; /* value of each symbol, index = symbol */
    uint32_t n_symbols;
    uint32_t n_inputs, n_outputs;
    uint32_t n_sequences;
    uint32_t n_states; /* states per sequence */
    uint32_t n_waits, n_signals;
    uint32_t priority;         /* 0 normal */
    const sy_binding *inputs;  /* as sy_segment.inputs */
    const sy_binding *outputs; /* as sy_segment.outputs */
    const sy_sequence *sequences;
    sy_state *const *states; /* [i_sequence * n_states + i_state], as sy_segment.states */
    const sy_point *waits;
    const sy_point *signals; /* reached when the outputs are complete, or failed (SYP-17) */
    sy_binding scratch;
    uint64_t run;         /* number of the step, for cancel and reports */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, 0 none */
    /* since 0.10 */
    const sy_adapter_use *adapters; /* what sy_sequence.adapter counts in */
    uint32_t n_adapters;
    uint32_t reserved;
} sy_job;

/* ---------------------------------------------------------------------------------------------
 * 9 State
 * A state is position-addressed: row p holds what token p wrote. The host knows how many rows are
 * committed; rows past that may hold leftovers of a step that failed and are simply overwritten.
 * Canonical layout (save, load): row-major [n_rows, width] in the description's element type, so a
 * state moves between delegates whatever their own layout is.
 *
 * Sharing. After a clone or fork at n rows, the rows below n may lie in memory that both states
 * read. Nobody sees a difference but in bytes: who writes such rows - truncate, shift or load, from
 * the row named n_rows, to or first on - takes memory of its own for them in that call, and may
 * answer RESOURCE_EXHAUSTED, having changed nothing. A step takes none and never fails for memory:
 * its n_past is at least the n of the newest clone or fork on either side, or at least the row that
 * a later truncate, shift or load named. A delegate that shares refuses any other step with
 * FAILED_PRECONDITION; one that copies may run it.
 *
 * Windows. With window and step_tokens given, a delegate may forget old rows. Of n rows written it
 * keeps at least the newest `window`, and after a step also what the same step, repeated, reads. A
 * call that needs rows that are gone - a truncate, clone or fork to n where a step at n would read
 * them, a save of them - answers OUT_OF_RANGE, having changed nothing; the host then computes them
 * again. A shift moves what is left. A load past the end of what is there begins anew: rows before
 * it are gone.
 */
/* state_create. Open. */
typedef struct sy_state_description {
    sy_header header;
    sy_element_type type; /* of the canonical rows: f32, f16, bf16, Q8_0, Q4_0 */
    uint32_t role;        /* SY_STATE_*; RECURRENT: row p is what p leaves to the rows after it */
    uint32_t width;       /* elements per row, e.g. n_kv_heads * head size */
    uint32_t window;      /* 0 all rows; else row p reads rows p - window + 1 to p alone */
    uint64_t max_tokens;  /* rows; reserved now, never grows */
    /* 0.10 */
    uint32_t step_tokens; /* most rows that a step writes; 0 not known: all rows are kept */
    uint32_t reserved;
} sy_state_description;
enum { SY_STATE_KEY = 0, SY_STATE_VALUE = 1, SY_STATE_RECURRENT = 2 };

/* state_need, state_reserve: a call that the host may make. Open, since 0.10. */
typedef struct sy_state_request {
    sy_header header;
    uint32_t call;                           /* SY_STATE_CALL_* */
    uint32_t count;                          /* as many times; 0 means 1 */
    const sy_state_description *description; /* CREATE */
    sy_state *state;                         /* the others */
    uint64_t n_rows;     /* FORK, TRUNCATE as there; WRITE: first row that shift or load writes */
    uint64_t max_tokens; /* FORK */
} sy_state_request;
enum {
    SY_STATE_CALL_HOLD = 0, /* none: what the state holds now */
    SY_STATE_CALL_CREATE = 1,
    SY_STATE_CALL_FORK = 2, /* and clone */
    SY_STATE_CALL_TRUNCATE = 3,
    SY_STATE_CALL_WRITE = 4 /* shift, load */
};

/* state_need: bytes of the delegate's own layout, with all it keeps beside the rows. Open, since
 * 0.10. */
typedef struct sy_state_usage {
    sy_header header;
    uint64_t own_bytes;    /* HOLD: that no other state shares; else what the calls would take */
    uint64_t shared_bytes; /* HOLD: that others share; else what the new states would share */
    uint64_t new_bytes;    /* of own_bytes what the pool lacks: host->alloc is asked for it */
    uint32_t block_tokens; /* rows are shared in blocks of so many; 0 where nothing is shared */
    uint32_t reserved;
} sy_state_usage;

/* ---------------------------------------------------------------------------------------------
 * 10 Adapters (since 0.10)
 * An adapter (LoRA) is a set of pairs of narrow matrices, one pair for each node AdapterLinear
 * whose weight it was trained for: y = y + scale * (x A^T) B^T on the rows of the sequences that
 * use it (docs/operators.md). Base weights are never touched, so a step may carry sequences with
 * different adapters, and the next step may carry others. Rows without an adapter, and nodes
 * without a pair, pass unchanged.
 */
/* The pair of one node. Frozen. A and B are row-major; their bytes stay mapped and unchanged until
 * adapter_destroy. rank 0: the adapter leaves this node alone, and all else is zero. */
typedef struct sy_adapter_pair {
    uint32_t rank;      /* rows of A, columns of B; at most the node's attribute max_rank */
    float scale;        /* e.g. alpha / rank */
    uint64_t n_inputs;  /* columns of A: the width of x */
    uint64_t n_outputs; /* rows of B: the width of y */
    sy_element_type a_type, b_type; /* f32, f16 or bf16 */
    sy_memory a, b;                 /* host memory, aligned to the element */
} sy_adapter_pair;

/* adapter_create. Open. The node with attribute slot = i takes pairs[i]. */
typedef struct sy_adapter_description {
    sy_header header;
    uint32_t n_pairs;
    uint32_t reserved;
    const sy_adapter_pair *pairs;
} sy_adapter_description;

/* ---------------------------------------------------------------------------------------------
 * 11 Services of the host
 * All a plugin may call. Valid from sy_plugin_entry until the plugin is unloaded. Any thread.
 */
typedef uint32_t sy_severity;
enum {
    SY_SEVERITY_DEBUG = 0,
    SY_SEVERITY_INFO = 1,
    SY_SEVERITY_WARNING = 2,
    SY_SEVERITY_ERROR = 3
};

typedef void (*sy_task)(void *argument, uint32_t i_task, uint32_t i_worker);

/* Open. */
typedef struct sy_host {
    sy_header header;
    sy_context *context; /* first argument of every call below */

    /* Says in words why a call fails; the host attaches the newest text of the calling thread to
     * the status that follows. i_node is a node index of the view or SY_NO_VALUE. */
    void (*report)(sy_context *context, sy_severity severity, sy_status status, uint32_t i_node,
                   const char *text);
    /* Memory under the host's budget. alloc answers NULL when refused; alignment is a power of two
     * up to 4096; release needs the size given to alloc. */
    void *(*alloc)(sy_context *context, size_t size_bytes, size_t alignment_bytes);
    void (*release)(sy_context *context, void *pointer, size_t size_bytes);
    /* Runs task(argument, i, worker) for i in [0, n_tasks) on the host's thread team and returns
     * when all are done. i_worker < n_workers. Not from within a task. */
    sy_status (*parallel)(sy_context *context, sy_task task, void *argument, uint32_t n_tasks);
    uint32_t (*n_workers)(sy_context *context);
    /* Content digest (SHA-256) of a weight of the current view; may hash the bytes. */
    sy_status (*weight_digest)(sy_context *context, const sy_graph_view *view, uint32_t i_value,
                               uint8_t out_digest[32]);
    /* compile: appends to the blob that is being made. */
    sy_status (*blob_write)(sy_context *context, uint64_t offset_bytes, const void *bytes,
                            size_t n_bytes);
    /* Nonzero when the host wants the running compile, load or price to give up soon. */
    int (*cancelled)(sy_context *context);
    /* Marks a point as reached (status SY_OK) or failed. Exactly once per signal of a job. */
    void (*fence_signal)(sy_context *context, sy_point point, sy_status status);
    /* Blocks until a point is reached or failed; answers its status. */
    sy_status (*fence_wait)(sy_context *context, sy_point point, uint64_t deadline_ns);
} sy_host;

/* ---------------------------------------------------------------------------------------------
 * 12 Services of the plugin
 * M = mandatory, others may be NULL. Every call except submit, cancel and health may block. No
 * exception, longjmp, signal handler, atexit, setenv, stdout output or thread of its own calling
 * back after unload (SYP-10). Calls on one device come from one thread at a time unless said.
 */
/* Open. */
typedef struct sy_plugin {
    sy_header header;
    const char *name; /* [a-z0-9-], as in the manifest */
    const char *vendor;
    const char *version; /* free text for people */
    uint8_t build_id[32];

    /* M. Writes up to *inout_count infos at out_infos + i * stride and sets *inout_count to the
     * number of devices there are; out_infos NULL only counts. Zero devices is a good answer; say
     * why through report. */
    sy_status (*enumerate)(sy_context *context, sy_device_info *out_infos, size_t stride,
                           uint32_t *inout_count);
    /* M. options: "key=value\n..." of the INI section [delegate NAME], or NULL. */
    sy_status (*open)(sy_context *context, uint32_t i_device, const char *options,
                      sy_device **out_device);
    /* M. All units, buffers and states of the device were freed before. */
    sy_status (*close)(sy_device *device);
    /* M. Any thread, does not block. */
    sy_status (*health)(sy_device *device, sy_health *out_health);

    /* M. Judges every node of the view in one call, without side effects. Verdict i lies at
     * (char *)out_verdicts + i * stride; the host cleared it and set its header. */
    sy_status (*judge)(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                       size_t stride);
    /* Prices a segment as one fused unit; UNIMPLEMENTED declines. */
    sy_status (*price)(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                       sy_cost *out_cost);
    /* Cost of moving n_bytes between memory kinds; 0 where an import is zero-copy. */
    sy_status (*link)(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                      sy_cost *out_cost);

    /* Compiles a segment to bytes through host->blob_write and fills format and stamp. */
    sy_status (*compile)(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                         sy_blob *out_blob);
    sy_status (*probe)(sy_device *device, const sy_blob *blob, sy_compatibility *out_compatibility);
    /* M. */
    sy_status (*load)(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                      sy_unit **out_unit);
    /* M. */
    sy_status (*unload)(sy_unit *unit);

    /* M. */
    sy_status (*buffer_create)(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                               sy_buffer **out_buffer);
    /* Makes memory of the host or another device usable here without a copy. */
    sy_status (*buffer_import)(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer);
    sy_status (*buffer_export)(sy_buffer *buffer, sy_memory_kind kind, sy_memory *out_memory);
    /* Makes a range reachable by the CPU until unmap. access: SY_ACCESS_*. Mandatory when
     * memory_in lacks SY_MEMORY_HOST. */
    sy_status (*buffer_map)(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                            uint32_t access, void **out_pointer);
    sy_status (*buffer_unmap)(sy_buffer *buffer);
    /* M. */
    sy_status (*buffer_destroy)(sy_buffer *buffer);

    sy_status (*fence_import)(sy_device *device, int fd, uint32_t kind, uint64_t *out_fence);
    sy_status (*fence_export)(sy_device *device, sy_point point, uint32_t kind, int *out_fd);

    /* M. Starts a job, or runs it: the signals decide when it is done. An error answer means that
     * nothing was started and no signal will come. */
    sy_status (*submit)(sy_unit *unit, const sy_job *job);
    sy_status (*cancel)(sy_unit *unit, uint64_t run); /* any thread */

    /* State: all of them or none. A delegate without them says NO to nodes with a STATE value. */
    sy_status (*state_create)(sy_device *device, const sy_state_description *description,
                              sy_state **out_state);
    /* A state of the same max_tokens with equal rows below n_rows. */
    sy_status (*state_clone)(sy_state *state, uint64_t n_rows, sy_state **out_state);
    /* Rows from n_rows on will not be read again before they are written. */
    sy_status (*state_truncate)(sy_state *state, uint64_t n_rows);
    /* Moves rows [first, first + count) to start at `to` < first, contents unchanged. */
    sy_status (*state_shift)(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
    sy_status (*state_save)(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                            uint64_t n_bytes);
    sy_status (*state_load)(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                            uint64_t n_bytes);
    sy_status (*state_destroy)(sy_state *state);

    /* 0.10: these three together or none. */
    /* As clone, for max_tokens >= n_rows of its own: a copy of n_rows takes next to nothing. */
    sy_status (*state_fork)(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                            sy_state **out_state);
    /* Sums what calls would take, each as if it were the first; request i lies at
     * (const char *)requests + i * stride. Answers what the calls would, memory apart. */
    sy_status (*state_need)(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, sy_state_usage *out_usage);
    /* Puts what these calls need into the device's pool, all of it or RESOURCE_EXHAUSTED and
     * nothing, so that they cannot fail for memory. keep != 0: the pool never falls below what was
     * kept until the device is closed; else it goes back when it is free again. No requests: memory
     * that is free and not kept goes back now. */
    sy_status (*state_reserve)(sy_device *device, const sy_state_request *requests, size_t stride,
                               uint32_t n_requests, uint32_t keep);

    /* Adapters (since 0.10): both or none. A delegate without them says NO to AdapterLinear. The
     * pairs are read or copied; out_bytes is the memory kept beside them. Between two steps, never
     * while a job that uses the adapter runs. */
    sy_status (*adapter_create)(sy_device *device, const sy_adapter_description *description,
                                uint64_t *out_bytes, sy_adapter_weights **out_weights);
    sy_status (*adapter_destroy)(sy_adapter_weights *weights);
} sy_plugin;
enum { SY_ACCESS_READ = 1, SY_ACCESS_WRITE = 2 };

#if defined(_WIN32)
#define SY_PLUGIN_EXPORT __declspec(dllexport)
#else
#define SY_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif

/* The only exported symbol. host_abi is the host's number; the answer is a table whose header.abi
 * is at most that and of the same major, or NULL after a report that says why (SYP-2). The table
 * stays valid until the shared object is unloaded. May be called again after every device was
 * closed. */
SY_PLUGIN_EXPORT const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *host);
typedef const sy_plugin *(*sy_plugin_entry_function)(uint32_t host_abi, const sy_host *host);

#ifdef __cplusplus
}
#endif
#endif
