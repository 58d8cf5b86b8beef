/* SPDX-License-Identifier: Apache-2.0 */
/* A whole delegate to start from: GatedActivation (silu) in f32 on the CPU. Copy the folder,
 * rename, then let refusal(), load() and submit() grow together. SYP-n: see plugin-api/RULES.md. */
#include "plumbing.h"

#include <math.h>
#include <string.h>

struct sy_unit {
    size_t n_bytes;
    uint32_t n_steps;
    uint32_t steps[][3]; /* gate, up, y: indexes of the job's inputs and outputs */
};

/* NULL is a yes; every "no" has a reason and a text (SYP-8). */
static const char *refusal(const sy_graph_view *view, uint32_t i_node, sy_reason *out_reason) {
    sy_node_view node, other;
    sy_value_view x;
    *out_reason = SY_REASON_OPERATOR;
    if (view->node(view->graph, i_node, &node) != SY_OK || strcmp(node.domain, "switchyard") != 0 ||
        strcmp(node.op, "GatedActivation") != 0 || node.version != 1) {
        return "operator unknown";
    }
    *out_reason = SY_REASON_ATTRIBUTE;
    if (node.n_attributes != 1 || strcmp(node.attributes[0].name, "activation") != 0 ||
        strcmp(node.attributes[0].value.s, "silu") != 0) {
        return "only silu is known";
    }
    *out_reason = SY_REASON_TYPE;
    for (int k = 0; k < 2; k++) {
        if (view->value(view->graph, node.inputs[k], &x) != SY_OK || x.type != SY_TYPE_F32 ||
            x.kind == SY_VALUE_WEIGHT) {
            return "gate and up must be f32 and no weights";
        }
    }
    *out_reason = SY_REASON_OTHER; /* so that every value is bound by the job: no scratch */
    for (uint32_t j = 0; j < i_node; j++) {
        if (view->node(view->graph, j, &other) == SY_OK && strcmp(other.op, node.op) == 0 &&
            (other.outputs[0] == node.inputs[0] || other.outputs[0] == node.inputs[1])) {
            return "chains of GatedActivation are not supported";
        }
    }
    *out_reason = SY_REASON_NONE;
    return NULL;
}
static sy_status judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                       size_t stride) {
    sy_status status = device == &the_device ? check(&view->header) : SY_INVALID_ARGUMENT;
    for (uint32_t i = 0; i < view->n_nodes && status == SY_OK; i++) {
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        const char *why = refusal(view, i, &verdict->reason);
        strncpy(verdict->why, why != NULL ? why : "", sizeof(verdict->why) - 1);
        verdict->support = why == NULL ? SY_SUPPORT_NATIVE : SY_SUPPORT_NO;
        verdict->score = why == NULL ? 10 : 0; /* time and confidence 0: measure me */
    }
    return status;
}

static sy_status load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                      sy_unit **out_unit) {
    const sy_segment *segment = request->segment;
    sy_unit *unit = NULL;
    size_t n_bytes = sizeof(*unit) + segment->n_nodes * sizeof(unit->steps[0]);
    (void)out_info; /* no scratch, no copies of weights */
    if (check(&request->header) != SY_OK) {
        return check(&request->header);
    }
    unit = host->alloc(host->context, n_bytes, 64);
    if (unit == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *unit = (sy_unit){n_bytes, segment->n_nodes};
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        sy_node_view node = {0};
        request->view->node(request->view->graph, segment->nodes[i], &node);
        unit->steps[i][0] = index_of(segment->inputs, node.inputs[0]);
        unit->steps[i][1] = index_of(segment->inputs, node.inputs[1]);
        unit->steps[i][2] = index_of(segment->outputs, node.outputs[0]);
    }
    device->live++;
    *out_unit = unit;
    return SY_OK;
}
static sy_status unload(sy_unit *unit) {
    the_device.live--;
    host->release(host->context, unit, unit->n_bytes);
    return SY_OK;
}

static sy_status submit(sy_unit *unit, const sy_job *job) {
    sy_status status = check(&job->header);
    if (status != SY_OK) {
        return status; /* nothing was started, so no signal comes */
    }
    for (uint32_t i = 0; i < job->n_waits && status == SY_OK; i++) {
        status = host->fence_wait(host->context, job->waits[i], job->deadline_ns);
    }
    for (uint32_t i = 0; i < unit->n_steps && status == SY_OK; i++) {
        const uint32_t *s = unit->steps[i];
        const float *gate = at(&job->inputs[s[0]]), *up = at(&job->inputs[s[1]]);
        float *y = at(&job->outputs[s[2]]);
        for (uint64_t k = 0; k < job->outputs[s[2]].length_bytes / sizeof(*y); k++) {
            y[k] = gate[k] / (1.0f + expf(-gate[k])) * up[k];
        }
    }
    for (uint32_t i = 0; i < job->n_signals; i++) {
        host->fence_signal(host->context, job->signals[i], status);
    }
    return SY_OK;
}

static const sy_plugin table = {.header = SY_HEADER_INIT(sy_plugin),
                                .name = "template",
                                .vendor = "Example",
                                .version = "0.1",
                                .enumerate = enumerate,
                                .open = open_device,
                                .close = close_device,
                                .health = health,
                                .judge = judge,
                                .load = load,
                                .unload = unload,
                                .buffer_create = buffer_create,
                                .buffer_import = buffer_import,
                                .buffer_destroy = buffer_destroy,
                                .submit = submit};

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *services) {
    host = services;
    if (host_abi >> 16 == SY_ABI_MAJOR && host_abi >= SY_ABI_VERSION) {
        return &table;
    }
    host->report(host->context, SY_SEVERITY_ERROR, SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION),
                 SY_NO_VALUE, "needs a host of delegate ABI 0.11 or a later minor");
    return NULL;
}
