/* SPDX-License-Identifier: Apache-2.0 */
/* Values on their way into and out of XNNPACK's order and types. */
#include "xnnpack_region.h"

#ifdef CPU_HAVE_XNNPACK

#include <string.h>

#define PIXELS 64u /* of one task, for all channels */

typedef struct crossing {
    cpu_run *run;
    const cpu_border *border;
    const cpu_tensor *tensor;
    uint64_t blocks; /* of one image */
} crossing;

static bool is_byte(sy_element_type type) {
    return type == SY_TYPE_I8 || type == SY_TYPE_U8;
}

/* u8 becomes i8 with a zero point less by 128. */
static uint8_t flip_of(sy_element_type type) {
    return type == SY_TYPE_U8 ? 0x80 : 0;
}

static void enter_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const crossing *c = argument;
    const cpu_border *b = c->border;
    uint64_t image = i_task / c->blocks, first = i_task % c->blocks * PIXELS, step = b->channels;
    uint64_t n = b->plane - first < PIXELS ? b->plane - first : PIXELS;
    float space[PIXELS];
    (void)i_worker;
    for (uint64_t channel = 0; channel < b->channels; channel++) {
        uint64_t from = (image * b->channels + channel) * b->plane + first;
        uint64_t to = (image * b->plane + first) * step + channel;
        if (is_byte(b->type)) {
            for (uint64_t i = 0; i < n; i++) {
                b->staged[to + i * step] = c->tensor->data[from + i] ^ flip_of(b->type);
            }
            continue;
        }
        const float *x = cpu_floats_read(c->run, c->tensor, from, n, space);
        float *staged = (float *)(void *)b->staged + to;
        for (uint64_t i = 0; i < n; i++) {
            staged[i * step] = x[i];
        }
    }
}

static void leave_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const crossing *c = argument;
    const cpu_border *b = c->border;
    uint64_t image = i_task / c->blocks, first = i_task % c->blocks * PIXELS, step = b->channels;
    uint64_t n = b->plane - first < PIXELS ? b->plane - first : PIXELS;
    float space[PIXELS];
    (void)i_worker;
    for (uint64_t channel = 0; channel < b->channels; channel++) {
        uint64_t to = (image * b->channels + channel) * b->plane + first;
        uint64_t from = (image * b->plane + first) * step + channel;
        if (is_byte(b->type)) {
            for (uint64_t i = 0; i < n; i++) {
                c->tensor->data[to + i] = b->staged[from + i * step] ^ flip_of(b->type);
            }
            continue;
        }
        const float *staged = (const float *)(const void *)b->staged + from;
        float *y = cpu_floats_target(c->tensor, to, space);
        for (uint64_t i = 0; i < n; i++) {
            y[i] = staged[i * step];
        }
        cpu_floats_write(c->run, c->tensor, to, n, y);
    }
}

/* One channel: pixels lie behind one another on both sides. */
static cpu_border straightened(const cpu_border *border) {
    cpu_border b = *border;
    if (b.plane == 1 || b.channels == 1) {
        b.plane = b.n * b.channels * b.plane;
        b.n = b.channels = 1;
    }
    return b;
}

static sy_status cross(cpu_run *run, const cpu_border *border, sy_task task) {
    cpu_border straight = straightened(border);
    crossing c = {run, &straight, &run->tensors[border->i_value], 0};
    c.blocks = (straight.plane + PIXELS - 1) / PIXELS;
    return cpu_run_tasks(run, task, &c, straight.n * c.blocks, c.tensor->n_elements);
}

sy_status cpu_border_enter(cpu_run *run, const cpu_border *border) {
    return cross(run, border, enter_task);
}

sy_status cpu_border_leave(cpu_run *run, const cpu_border *border) {
    return cross(run, border, leave_task);
}
#endif
