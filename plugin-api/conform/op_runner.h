/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs small graphs on one device of one plugin table, the way the core would: judge, load, bind
 * buffers, submit, wait for the signal, read back. Nothing here needs the core; any delegate can be
 * put under it, also one whose memory the CPU cannot reach without buffer_map.
 *
 *   sy_test_host host;  sy_test_host_init(&host, 1, &error);
 *   sy_op_runner runner;
 *   sy_op_runner_open(&runner, entry(SY_ABI_VERSION, &host.services), &host, 0, NULL, &error);
 *   sy_test_graph graph; ... sy_test_graph_finish(&graph, &error);
 *   sy_op_step step = {.inputs = (const void *[]){x}, .outputs = (void *[]){y}};
 *   sy_op_run(&runner, &graph, &step, &error);
 */
#ifndef SY_CONFORM_OP_RUNNER_H
#define SY_CONFORM_OP_RUNNER_H

#include "conform/test_graph.h"
#include "conform/test_host.h"

typedef struct sy_op_runner {
    const sy_plugin *plugin;
    sy_test_host *host;
    sy_device *device;
    sy_device_info info;
} sy_op_runner;

/* Loads a plugin file and finds its entry function; *out_library is for dlclose. NOT_FOUND with
 * what the loader said. */
SY_MUST_CHECK sy_status sy_op_entry_load(const char *path, void **out_library,
                                         sy_plugin_entry_function *out_entry, sy_error *error);
/* Opens device i_device of a table. FAILED_PRECONDITION for a NULL table (with its report). */
SY_MUST_CHECK sy_status sy_op_runner_open(sy_op_runner *runner, const sy_plugin *plugin,
                                          sy_test_host *host, uint32_t i_device,
                                          const char *options, sy_error *error);
/* Closes the device. */
sy_status sy_op_runner_close(sy_op_runner *runner);

/* Judges every node of a finished graph into out_verdicts[n_nodes]. */
SY_MUST_CHECK sy_status sy_op_judge(sy_op_runner *runner, const sy_test_graph *graph,
                                    sy_verdict *out_verdicts, sy_error *error);

/* One step over a loaded graph. Zeroed fields mean none. */
typedef struct sy_op_step {
    const void *const *inputs; /* bytes at the step's sizes, in the order of segment.inputs */
    void *const *outputs;      /* room at the step's sizes, in the order of segment.outputs */
    const int64_t *symbols;    /* index = symbol; NULL: every symbol at its bound */
    uint32_t n_symbols;
    uint32_t n_sequences;
    const sy_sequence *sequences;
    sy_state *const *states; /* [i_sequence * segment.n_states + i_state] */
    uint32_t n_adapters;
    const sy_adapter_use *adapters; /* what sequences count in */
    uint64_t run;
    uint64_t deadline_ns;
} sy_op_step;

/* A loaded graph with buffers for its boundary values at their bounds. */
typedef struct sy_op_unit {
    sy_op_runner *runner;
    const sy_test_graph *graph;
    sy_unit *unit;
    sy_unit_info info;
    sy_buffer **buffers; /* inputs, then outputs, then scratch */
    sy_binding *bindings;
    uint64_t *capacity_bytes;
    void **imported; /* memory behind the buffers of a plugin that offers only buffer_import */
    uint32_t n_buffers;
    bool is_guarded; /* set it to fill what a job may not write, and to look at it afterwards */
} sy_op_unit;

/* Loads a finished graph that must outlive the unit. Asks compile for a blob where the plugin has
 * it. Texts of the error carry the plugin's newest report. */
SY_MUST_CHECK sy_status sy_op_load(sy_op_runner *runner, const sy_test_graph *graph,
                                   sy_op_unit *out_unit, sy_error *error);
/* The two halves of sy_op_load. The bytes of a compiled blob lie in the host until the next one is
 * compiled. UNIMPLEMENTED where the plugin compiles nothing, or not this. */
SY_MUST_CHECK sy_status sy_op_compile(sy_op_runner *runner, const sy_test_graph *graph,
                                      sy_blob *inout_blob);
SY_MUST_CHECK sy_status sy_op_load_blob(sy_op_runner *runner, const sy_test_graph *graph,
                                        const sy_blob *blob, sy_op_unit *out_unit, sy_error *error);
/* Copies inputs in, submits, waits for the signal, copies outputs out. The signal's status when the
 * job failed. INTERNAL when a guarded unit wrote to an input or past the end of a binding. */
SY_MUST_CHECK sy_status sy_op_submit(sy_op_unit *unit, const sy_op_step *step, sy_error *error);
/* The parts of sy_op_submit, for jobs that are in flight: copy in, start (with these waits,
 * signalling out_signal on fence i_fence), and copy out after the caller saw the signal. */
typedef struct sy_op_flight {
    sy_point signals[3]; /* all are signalled; wait for any */
    uint32_t n_signals;  /* 0 counts as 1 */
    const sy_point *waits;
    uint32_t n_waits;
    const sy_extension *extensions; /* of the job */
    uint32_t extra_bytes;           /* the job's header claims so many more than it has: 0xa5 */
} sy_op_flight;
SY_MUST_CHECK sy_status sy_op_prepare(sy_op_unit *unit, const sy_op_step *step, sy_error *error);
SY_MUST_CHECK sy_status sy_op_start(sy_op_unit *unit, const sy_op_step *step,
                                    const sy_op_flight *flight, sy_error *error);
SY_MUST_CHECK sy_status sy_op_collect(sy_op_unit *unit, const sy_op_step *step, sy_error *error);
/* Unloads and frees the buffers; NULL-safe on a unit that was never loaded (zeroed). */
void sy_op_unload(sy_op_unit *unit);

/* judge (every node must be more than NO), load, submit, unload. */
SY_MUST_CHECK sy_status sy_op_run(sy_op_runner *runner, const sy_test_graph *graph,
                                  const sy_op_step *step, sy_error *error);

#endif
