/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs: the code of a segment's pipelines, in a form of the driver's. Nothing of a weight is in
 * them. A blob that was made by another driver or device is stale; one whose bytes do not add up is
 * refused by the driver.
 */
#include "plugin.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

#define BLOB_FORMAT 2u

sy_status gpu_compile(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                      sy_blob *out_blob) {
    sy_unit *unit = NULL;
    sy_status status = kit_extensions_check(&segment->header);
    if (status == SY_OK && atomic_load(&device->is_lost)) {
        status = gpu_lost(device);
    }
    if (status == SY_OK) {
        status = gpu_unit_build(device, view, segment, GPU_BUILD_CODE, &unit);
    }
    if (status != SY_OK) {
        return gpu_seen(device, status);
    }
    gpu_pipeline **pipelines = kit_alloc((unit->n_launches + 1) * sizeof(gpu_pipeline *));
    uint32_t n = 0;
    for (size_t i = 0; pipelines != NULL && i < unit->n_launches; i++) {
        bool is_new = true;
        for (uint32_t k = 0; is_new && k < n; k++) {
            is_new = pipelines[k] != unit->launches[i].pipeline;
        }
        if (is_new) {
            pipelines[n++] = unit->launches[i].pipeline;
        }
    }
    uint64_t end = 0;
    status = pipelines != NULL ? gpu_driver_code_write(device->driver, pipelines, n, 0, &end)
                               : kit_no_tables();
    kit_release(pipelines, (unit->n_launches + 1) * sizeof(gpu_pipeline *));
    gpu_unit_free(unit);
    if (status == SY_OK) {
        out_blob->format = BLOB_FORMAT;
        gpu_driver_stamp(device->driver, out_blob->stamp);
    }
    return gpu_seen(device, status);
}

/* NULL where the blob was made here. */
static const char *refusal(const sy_device *device, const sy_blob *blob, char *space, size_t n) {
    char stamp[sizeof(blob->stamp)];
    if (blob->format != BLOB_FORMAT) {
        snprintf(space, n, "made in format %u, read is %u", blob->format, BLOB_FORMAT);
        return space;
    }
    gpu_driver_stamp(device->driver, stamp);
    if (memcmp(stamp, blob->stamp, sizeof(stamp)) != 0) {
        size_t at = 0; /* from the word on that differs */
        for (size_t i = 0; i < sizeof(stamp) && stamp[i] == blob->stamp[i]; i++) {
            at = stamp[i] == ' ' ? i + 1 : at;
        }
        int most = sizeof(stamp) - at < 30 ? (int)(sizeof(stamp) - at) : 30;
        snprintf(space, n, "made for '%.*s', here is '%.*s'", most, blob->stamp + at, most,
                 stamp + at);
        return space;
    }
    return NULL;
}

sy_status gpu_probe(sy_device *device, const sy_blob *blob, sy_compatibility *out_compatibility) {
    sy_status status = kit_extensions_check(&blob->header);
    if (status != SY_OK) {
        return status;
    }
    const char *why = refusal(device, blob, out_compatibility->why, sizeof(out_compatibility->why));
    out_compatibility->grade = why != NULL ? SY_GRADE_RECOMPILE : SY_GRADE_EXACT;
    out_compatibility->reason = why != NULL ? SY_REASON_DRIVER : SY_REASON_NONE;
    return SY_OK;
}

sy_status gpu_blob_read(sy_device *device, const sy_blob *blob) {
    char space[SY_REASON_TEXT_BYTES];
    sy_status status = kit_extensions_check(&blob->header);
    const char *why = refusal(device, blob, space, sizeof(space));
    if (status == SY_OK && why != NULL) {
        status = kit_report(SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE), SY_NO_VALUE,
                            "the blob is for another device or driver: %s", why);
    }
    if (status == SY_OK && (blob->bytes.kind != SY_MEMORY_HOST || blob->bytes.pointer == NULL)) {
        status = kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "a blob must lie in host memory");
    }
    return status == SY_OK
               ? gpu_driver_code_read(device->driver, blob->bytes.pointer, blob->bytes.length_bytes)
               : status;
}
