/* SPDX-License-Identifier: Apache-2.0 */
/* Values on their way into and out of XNNPACK's order and types. */
#include "xnnpack_region.h"

#ifdef CPU_HAVE_XNNPACK

#include <string.h>

#define PIXELS 64u          /* moved together, so that their lines stay in the first cache */
#define TASK_ELEMENTS 8192u /* about */

typedef struct crossing {
    cpu_run *run;
    const cpu_border *border;
    const cpu_tensor *tensor;
    uint64_t pixels, n_tasks; /* of a task; of one image */
    uint64_t first;           /* element of the tensor */
} crossing;

/* Pixels [first, first + n) of an image: where each channel's lie, and where the pixels do. */
typedef struct stretch {
    uint64_t image, first, n;
} stretch;

/* u8 becomes i8 with a zero point less by 128. */
static uint8_t flip_of(sy_element_type type) {
    return type == SY_TYPE_U8 ? 0x80 : 0;
}

static uint64_t planar(const crossing *c, const stretch *s, uint64_t channel) {
    const cpu_border *b = c->border;
    return c->first + (s->image * b->channels + channel) * b->plane + s->first;
}

static uint64_t interleaved(const cpu_border *b, const stretch *s) {
    return (s->image * b->plane + s->first) * b->channels;
}

static void bytes_enter(const crossing *c, const stretch *s) {
    const cpu_border *b = c->border;
    uint64_t step = b->channels, to = interleaved(b, s);
    for (uint64_t channel = 0; channel < step; channel++) {
        const uint8_t *x = c->tensor->data + planar(c, s, channel);
        for (uint64_t i = 0; i < s->n; i++) {
            b->staged[to + channel + i * step] = x[i] ^ flip_of(b->type);
        }
    }
}

static void floats_enter(const crossing *c, const stretch *s) {
    const cpu_border *b = c->border;
    uint64_t step = b->channels;
    float *staged = (float *)(void *)b->staged + interleaved(b, s);
    float space[PIXELS];
    for (uint64_t channel = 0; channel < step; channel++) {
        const float *x = cpu_floats_read(c->run, c->tensor, planar(c, s, channel), s->n, space);
        for (uint64_t i = 0; i < s->n; i++) {
            staged[channel + i * step] = x[i];
        }
    }
}

static void bytes_leave(const crossing *c, const stretch *s) {
    const cpu_border *b = c->border;
    uint64_t step = b->channels, from = interleaved(b, s);
    for (uint64_t channel = 0; channel < step; channel++) {
        uint8_t *y = c->tensor->data + planar(c, s, channel);
        for (uint64_t i = 0; i < s->n; i++) {
            y[i] = b->staged[from + channel + i * step] ^ flip_of(b->type);
        }
    }
}

static void floats_leave(const crossing *c, const stretch *s) {
    const cpu_border *b = c->border;
    uint64_t step = b->channels;
    const float *staged = (const float *)(const void *)b->staged + interleaved(b, s);
    float space[PIXELS];
    for (uint64_t channel = 0; channel < step; channel++) {
        uint64_t to = planar(c, s, channel);
        float *y = cpu_floats_target(c->tensor, to, space);
        for (uint64_t i = 0; i < s->n; i++) {
            y[i] = staged[channel + i * step];
        }
        cpu_floats_write(c->run, c->tensor, to, s->n, y);
    }
}

static void stretches(const crossing *c, uint32_t i_task,
                      void (*move)(const crossing *c, const stretch *s)) {
    uint64_t first = i_task % c->n_tasks * c->pixels, end = first + c->pixels;
    end = end < c->border->plane ? end : c->border->plane;
    for (; first < end; first += PIXELS) {
        stretch s = {i_task / c->n_tasks, first, end - first < PIXELS ? end - first : PIXELS};
        move(c, &s);
    }
}

static void enter_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const crossing *c = argument;
    (void)i_worker;
    stretches(c, i_task, kit_type_is_byte(c->border->type) ? bytes_enter : floats_enter);
}

static void leave_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const crossing *c = argument;
    (void)i_worker;
    stretches(c, i_task, kit_type_is_byte(c->border->type) ? bytes_leave : floats_leave);
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

static sy_status cross(cpu_run *run, const cpu_border *border, uint64_t i_picture, sy_task task) {
    cpu_border straight = straightened(border);
    uint64_t n = straight.n * straight.channels * straight.plane;
    crossing c = {.run = run,
                  .border = &straight,
                  .tensor = &run->tensors[border->i_value],
                  .pixels = PIXELS,
                  .first = i_picture * n};
    if (straight.channels < TASK_ELEMENTS / PIXELS) {
        c.pixels = TASK_ELEMENTS / straight.channels / PIXELS * PIXELS;
    }
    c.n_tasks = (straight.plane + c.pixels - 1) / c.pixels;
    return cpu_run_tasks(run, task, &c, straight.n * c.n_tasks, n);
}

sy_status cpu_border_enter(cpu_run *run, const cpu_border *border, uint64_t i_picture) {
    return cross(run, border, i_picture, enter_task);
}

sy_status cpu_border_leave(cpu_run *run, const cpu_border *border, uint64_t i_picture) {
    return cross(run, border, i_picture, leave_task);
}
#endif
