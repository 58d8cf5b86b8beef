/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of the fake NPU: what it reads from the attributes of a segment, for one driver. */
#include "fake_npu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6b616601u

/* In front of n_nodes fake_settings. */
typedef struct blob_header {
    uint32_t magic, n_nodes;
    uint64_t check; /* of all that follows */
    uint8_t segment_digest[32];
    char driver[64];
} blob_header;

const char *fake_driver(void) {
    const char *driver = getenv("FAKE_NPU_DRIVER");
    return driver != NULL ? driver : "1.0";
}

uint32_t fake_blobs(void) {
    const char *blobs = getenv("FAKE_NPU_BLOBS");
    return blobs == NULL                   ? FAKE_BLOBS
           : strcmp(blobs, "weights") == 0 ? SY_BLOBS_WITH_WEIGHTS
                                           : SY_BLOBS_NOT_KEPT;
}

static uint64_t fnv(uint64_t hash, const void *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    }
    return hash;
}

static uint64_t check_of(const blob_header *header, const void *nodes, size_t n_bytes) {
    uint64_t hash = fnv(14695981039346656037u, header->segment_digest, 32 + 64);
    hash = fnv(hash, &header->n_nodes, sizeof(header->n_nodes));
    return fnv(hash, nodes, n_bytes);
}

static sy_status refuse(const sy_device *device, sy_status status, const char *text) {
    device->host->report(device->host->context, SY_SEVERITY_ERROR, status, SY_NO_VALUE, text);
    return status;
}

sy_status fake_compile(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                       sy_blob *out_blob) {
    const sy_host *host = device->host;
    size_t n_bytes = segment->n_nodes * sizeof(fake_settings);
    sy_status status = fake_check_extensions(&segment->header);
    if (status != SY_OK || device->lost) {
        return status != SY_OK ? status : fake_check_alive(device);
    }
    if (device->no_blobs) {
        return refuse(device, SY_UNIMPLEMENTED, "compiling is off by option blobs");
    }
    fake_settings *nodes = host->alloc(host->context, n_bytes, 64);
    if (nodes == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(nodes, 0, n_bytes);
    for (uint32_t i = 0; i < segment->n_nodes && status == SY_OK; i++) {
        sy_node_view node;
        status = view->node(view->graph, segment->nodes[i], &node);
        if (status == SY_OK) {
            fake_read_settings(&node, &nodes[i]);
        }
    }
    blob_header header = {.magic = MAGIC, .n_nodes = segment->n_nodes};
    memcpy(header.segment_digest, out_blob->segment_digest, sizeof(header.segment_digest));
    snprintf(header.driver, sizeof(header.driver), "%s", fake_driver());
    header.check = check_of(&header, nodes, n_bytes);
    if (status == SY_OK) {
        status = host->blob_write(host->context, 0, &header, sizeof(header));
    }
    if (status == SY_OK) {
        status = host->blob_write(host->context, sizeof(header), nodes, n_bytes);
    }
    host->release(host->context, nodes, n_bytes);
    if (status == SY_OK) {
        out_blob->format = 1;
        snprintf(out_blob->stamp, sizeof(out_blob->stamp), "driver %s", fake_driver());
    }
    return status;
}

sy_status fake_probe(sy_device *device, const sy_blob *blob, sy_compatibility *out) {
    blob_header header;
    char mine[sizeof(blob->stamp)];
    const char *why = NULL;
    sy_status status = fake_check_extensions(&blob->header);
    if (status != SY_OK) {
        return status;
    }
    snprintf(mine, sizeof(mine), "driver %s", fake_driver());
    out->grade = SY_GRADE_EXACT;
    if (blob->format != 1 || blob->bytes.length_bytes < sizeof(header)) {
        out->grade = SY_GRADE_REJECT;
        why = "not a blob of this delegate";
    } else if (strncmp(blob->stamp, mine, sizeof(mine)) != 0) {
        out->grade = device->stale_grade;
        out->reason = SY_REASON_DRIVER;
        why = "made for another driver";
    } else {
        memcpy(&header, blob->bytes.pointer, sizeof(header));
        if (header.magic != MAGIC || memcmp(header.segment_digest, blob->segment_digest,
                                            sizeof(header.segment_digest)) != 0) {
            out->grade = SY_GRADE_REJECT;
            why = "made for another segment";
        }
    }
    if (why != NULL) {
        out->reason = out->reason != SY_REASON_NONE ? out->reason : SY_REASON_OTHER;
        snprintf(out->why, sizeof(out->why), "%s", why);
    }
    return SY_OK;
}

sy_status fake_open_blob(const sy_device *device, const sy_blob *blob, const sy_segment *segment,
                         fake_node *nodes) {
    const sy_status corrupt = SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT);
    const sy_status stale = SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE);
    const uint8_t *bytes = blob->bytes.pointer;
    blob_header header;
    uint64_t n_bytes = blob->bytes.length_bytes;
    if (blob->format != 1 || n_bytes < sizeof(header)) {
        return refuse(device, corrupt, "the blob is too short");
    }
    memcpy(&header, bytes, sizeof(header));
    uint64_t n_nodes_bytes = n_bytes - sizeof(header);
    if (header.magic != MAGIC || n_nodes_bytes != header.n_nodes * sizeof(fake_settings) ||
        header.check != check_of(&header, bytes + sizeof(header), n_nodes_bytes)) {
        return refuse(device, corrupt, "the blob is not whole");
    }
    if (header.n_nodes != segment->n_nodes ||
        memcmp(header.segment_digest, blob->segment_digest, sizeof(header.segment_digest)) != 0) {
        return refuse(device, stale, "the blob is of another segment");
    }
    if (device->stale_grade == SY_GRADE_RECOMPILE &&
        strncmp(header.driver, fake_driver(), sizeof(header.driver)) != 0) {
        return refuse(device, stale, "the blob is for another driver");
    }
    for (uint32_t i = 0; i < header.n_nodes; i++) {
        memcpy(&nodes[i].set, bytes + sizeof(header) + i * sizeof(fake_settings),
               sizeof(fake_settings));
    }
    return SY_OK;
}
