/* SPDX-License-Identifier: Apache-2.0 */
/* States of the fake NPU: rows are kept in f32, whatever the canonical type is. */
#include "fake_npu.h"

#include <math.h>
#include <string.h>

float fake_from_half(uint16_t half) {
    uint32_t exponent = half >> 10 & 31u, fraction = half & 1023u;
    float magnitude;
    if (exponent == 31) {
        magnitude = fraction != 0 ? NAN : INFINITY;
    } else if (exponent == 0) {
        magnitude = ldexpf((float)fraction, -24);
    } else {
        magnitude = ldexpf((float)(fraction + 1024u), (int)exponent - 25);
    }
    return (half & 0x8000u) != 0 ? -magnitude : magnitude;
}

/* Round to nearest, ties to even. */
uint16_t fake_to_half(float number) {
    uint16_t sign = signbit(number) ? 0x8000u : 0;
    float magnitude = fabsf(number);
    if (isnan(number)) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (magnitude >= 65520.0f) {
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude == 0.0f) {
        return sign;
    }
    int exponent = 0;
    frexpf(magnitude, &exponent); /* magnitude = m * 2^exponent, 0.5 <= m < 1 */
    int scale = exponent < -13 ? -24 : exponent - 11;
    uint32_t units = (uint32_t)nearbyintf(ldexpf(magnitude, -scale));
    /* units counts 2^scale; carries run into the exponent by themselves. */
    uint32_t bits = scale == -24 ? units : ((uint32_t)(scale + 24) << 10) + units;
    return (uint16_t)(sign | bits);
}

sy_status fake_state_create(sy_device *device, const sy_state_description *description,
                            sy_state **out_state) {
    const sy_host *host = device->host;
    sy_status known = fake_check_extensions(&description->header);
    known = known == SY_OK ? fake_check_states(device) : known;
    known = known == SY_OK ? fake_check_memory(device) : known;
    if (known != SY_OK) {
        return known;
    }
    if (description->type != SY_TYPE_F32 && description->type != SY_TYPE_F16) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_UNIMPLEMENTED, SY_NO_VALUE,
                     "only f32 and f16 states are kept");
        return SY_UNIMPLEMENTED;
    }
    sy_state *state = host->alloc(host->context, sizeof(*state), 64);
    uint64_t n_bytes = description->max_tokens * description->width * sizeof(float);
    float *rows = state != NULL ? host->alloc(host->context, n_bytes, 64) : NULL;
    if (rows == NULL) {
        host->release(host->context, state, sizeof(*state));
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(rows, 0, n_bytes);
    *state = (sy_state){.device = device,
                        .type = description->type,
                        .n_rows = description->max_tokens,
                        .width = description->width,
                        .rows = rows};
    device->live++;
    *out_state = state;
    return SY_OK;
}

sy_status fake_state_destroy(sy_state *state) {
    const sy_host *host = state->device->host;
    state->device->live--;
    host->release(host->context, state->rows, state->n_rows * state->width * sizeof(float));
    host->release(host->context, state, sizeof(*state));
    return SY_OK;
}

sy_status fake_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description),
                                        .type = state->type,
                                        .width = (uint32_t)state->width,
                                        .max_tokens = state->n_rows};
    if (n_rows > state->n_rows) {
        return SY_OUT_OF_RANGE;
    }
    sy_status status = fake_state_create(state->device, &description, out_state);
    if (status == SY_OK) {
        memcpy((*out_state)->rows, state->rows, n_rows * state->width * sizeof(float));
    }
    return status;
}

sy_status fake_state_truncate(sy_state *state, uint64_t n_rows) {
    return n_rows <= state->n_rows ? fake_check_states(state->device) : SY_OUT_OF_RANGE;
}

static int outside(const sy_state *state, uint64_t first, uint64_t count) {
    return first > state->n_rows || count > state->n_rows - first;
}

sy_status fake_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    if (outside(state, first, count) || to > first) {
        return SY_OUT_OF_RANGE;
    }
    sy_status alive = fake_check_states(state->device);
    if (alive != SY_OK) {
        return alive;
    }
    memmove(state->rows + to * state->width, state->rows + first * state->width,
            count * state->width * sizeof(float));
    return SY_OK;
}

sy_status fake_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                          uint64_t n_bytes) {
    uint64_t n = count * state->width;
    const float *rows = state->rows + first * state->width;
    if (outside(state, first, count) || n_bytes != n * (state->type == SY_TYPE_F32 ? 4 : 2)) {
        return SY_OUT_OF_RANGE;
    }
    sy_status alive = fake_check_states(state->device);
    if (alive != SY_OK) {
        return alive;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half = fake_to_half(rows[i]);
        if (state->type == SY_TYPE_F32) {
            memcpy((uint8_t *)out_rows + 4 * i, &rows[i], 4);
        } else {
            memcpy((uint8_t *)out_rows + 2 * i, &half, 2);
        }
    }
    return SY_OK;
}

sy_status fake_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                          uint64_t n_bytes) {
    uint64_t n = count * state->width;
    float *to = state->rows + first * state->width;
    if (outside(state, first, count) || n_bytes != n * (state->type == SY_TYPE_F32 ? 4 : 2)) {
        return SY_OUT_OF_RANGE;
    }
    sy_status alive = fake_check_states(state->device);
    if (alive != SY_OK) {
        return alive;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half = 0;
        if (state->type == SY_TYPE_F32) {
            memcpy(&to[i], (const uint8_t *)rows + 4 * i, 4);
        } else {
            memcpy(&half, (const uint8_t *)rows + 2 * i, 2);
            to[i] = fake_from_half(half);
        }
    }
    return SY_OK;
}
