/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Program binaries in a blob: a head, an entry per pipeline, the binaries, each at a multiple of 8.
 * All of it is checked before the driver sees a byte. Native byte order: the code is of one device.
 */
#include "ocl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernel_sources.h"

#define CODE_MAGIC "SYOCLBIN"
#define CODE_VERSION 2u
#define NAME_CHARS 48u
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

typedef struct code_head {
    char magic[8];
    uint32_t version;
    uint32_t n_entries;
    uint64_t n_bytes; /* of all: head, entries, binaries */
    uint64_t hash;    /* of all that follows the head, begun with that of the stamp */
    char stamp[128];
} code_head;

typedef struct code_entry {
    char kernel[NAME_CHARS];
    char digest[OCL_DIGEST_CHARS]; /* of the source */
    uint32_t constants[GPU_CONSTANTS_MAX];
    uint32_t with_subgroups, with_halves;
    uint64_t offset_bytes; /* from the head on */
    uint64_t n_bytes;
} code_entry;

/* FNV-1a: any altered byte alters it. It proves nothing about who wrote the bytes. */
static uint64_t hash_on(uint64_t hash, const void *bytes, size_t n_bytes) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t padded(uint64_t n_bytes) {
    return (n_bytes + 7u) & ~UINT64_C(7);
}

void gpu_driver_stamp(const gpu_driver *driver, char out_stamp[128]) {
    const ocl_api *api = driver->api;
    static const cl_device_info infos[] = {CL_DEVICE_VERSION, CL_DEVICE_OPENCL_C_VERSION,
                                           CL_DEVICE_VENDOR};
    char text[512];
    size_t n = 0;
    uint64_t hash = HASH_BEGIN;
    /* The compiler of a driver is told by its platform's version. */
    if (api->clGetPlatformInfo(driver->device.platform, CL_PLATFORM_VERSION, sizeof(text), text,
                               &n) == CL_SUCCESS) {
        hash = hash_on(hash, text, n);
    }
    for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
        if (api->clGetDeviceInfo(driver->device.id, infos[i], sizeof(text), text, &n) ==
            CL_SUCCESS) {
            hash = hash_on(hash, text, n);
        }
    }
    memset(out_stamp, 0, 128);
    snprintf(out_stamp, 128, "%.48s | %.56s | %016" PRIx64, driver->device.limits.id,
             driver->device.limits.driver, hash);
}

/* ---- writing ---- */
static sy_status binary_size(gpu_pipeline *pipeline, size_t *out_n_bytes) {
    size_t n = 0;
    cl_int code = pipeline->driver->api->clGetProgramInfo(
        pipeline->program, CL_PROGRAM_BINARY_SIZES, sizeof(n), &n, NULL);
    if (code != CL_SUCCESS) {
        return ocl_failed(pipeline->driver, code, "asking for a program's size");
    }
    if (n == 0) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "the driver of %s gives out no code",
                          pipeline->driver->device.limits.id);
    }
    *out_n_bytes = n;
    return SY_OK;
}

static void describe(const gpu_pipeline *pipeline, code_entry *out_entry) {
    memset(out_entry, 0, sizeof(*out_entry));
    snprintf(out_entry->kernel, NAME_CHARS, "%s", gpu_kernels[pipeline->kernel].name);
    memcpy(out_entry->digest, ocl_kernel_sources[pipeline->kernel].digest, OCL_DIGEST_CHARS);
    memcpy(out_entry->constants, pipeline->constants, sizeof(out_entry->constants));
    out_entry->with_subgroups = pipeline->driver->device.has_subgroups;
    out_entry->with_halves = pipeline->driver->device.has_halves;
}

/* Fills `all`, of n_bytes, behind the head. */
static sy_status fill(gpu_pipeline *const *pipelines, uint32_t n_pipelines, const size_t *sizes,
                      uint8_t *all) {
    uint64_t at = sizeof(code_head) + n_pipelines * sizeof(code_entry);
    for (uint32_t i = 0; i < n_pipelines; i++) {
        code_entry entry;
        describe(pipelines[i], &entry);
        entry.offset_bytes = at;
        entry.n_bytes = sizes[i];
        memcpy(all + sizeof(code_head) + i * sizeof(entry), &entry, sizeof(entry));
        unsigned char *binary = all + at;
        cl_int code = pipelines[i]->driver->api->clGetProgramInfo(
            pipelines[i]->program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL);
        if (code != CL_SUCCESS) {
            return ocl_failed(pipelines[i]->driver, code, "asking for a program's code");
        }
        at += padded(sizes[i]);
    }
    return SY_OK;
}

static sy_status write_all(gpu_driver *driver, gpu_pipeline *const *pipelines, uint32_t n_pipelines,
                           size_t *sizes, uint64_t offset_bytes, uint64_t *out_end) {
    code_head head = {.version = CODE_VERSION, .n_entries = n_pipelines};
    head.n_bytes = sizeof(head) + n_pipelines * sizeof(code_entry);
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < n_pipelines && status == SY_OK; i++) {
        status = binary_size(pipelines[i], &sizes[i]);
        head.n_bytes += padded(sizes[i]);
    }
    if (status != SY_OK) {
        return status;
    }
    uint8_t *all = kit_alloc((size_t)head.n_bytes);
    if (all == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no %" PRIu64 " bytes to gather the code in", head.n_bytes);
    }
    status = fill(pipelines, n_pipelines, sizes, all);
    memcpy(head.magic, CODE_MAGIC, sizeof(head.magic));
    gpu_driver_stamp(driver, head.stamp);
    head.hash = hash_on(HASH_BEGIN, head.stamp, sizeof(head.stamp));
    head.hash = hash_on(head.hash, all + sizeof(head), (size_t)head.n_bytes - sizeof(head));
    memcpy(all, &head, sizeof(head));
    if (status == SY_OK) {
        status = kit_blob_write(offset_bytes, all, (size_t)head.n_bytes);
    }
    kit_release(all, (size_t)head.n_bytes);
    if (status == SY_OK) {
        *out_end = offset_bytes + head.n_bytes;
    }
    return status;
}

sy_status gpu_driver_code_write(gpu_driver *driver, gpu_pipeline *const *pipelines,
                                uint32_t n_pipelines, uint64_t offset_bytes, uint64_t *out_end) {
    sy_status status = ocl_check(driver);
    if (status != SY_OK) {
        return status;
    }
    size_t *sizes = kit_alloc(n_pipelines * sizeof(*sizes));
    if (sizes == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to write code");
    }
    status = write_all(driver, pipelines, n_pipelines, sizes, offset_bytes, out_end);
    kit_release(sizes, n_pipelines * sizeof(*sizes));
    return status;
}

/* ---- reading ---- */
static sy_status corrupt(const char *what) {
    return kit_report(SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT), SY_NO_VALUE,
                      "the code in the blob is not whole: %s; compile it anew", what);
}

static sy_status check_head(const gpu_driver *driver, const uint8_t *bytes, uint64_t n_bytes,
                            code_head *out_head) {
    if (n_bytes < sizeof(*out_head)) {
        return corrupt("it is cut short");
    }
    memcpy(out_head, bytes, sizeof(*out_head));
    if (memcmp(out_head->magic, CODE_MAGIC, sizeof(out_head->magic)) != 0) {
        return corrupt("it does not begin as code does");
    }
    if (out_head->version != CODE_VERSION) {
        return kit_report(SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE), SY_NO_VALUE,
                          "the code in the blob has form %" PRIu32 ", not %u", out_head->version,
                          CODE_VERSION);
    }
    if (out_head->n_bytes != n_bytes ||
        out_head->n_entries > (n_bytes - sizeof(*out_head)) / sizeof(code_entry)) {
        return corrupt("its sizes do not fit");
    }
    uint64_t hash = hash_on(HASH_BEGIN, out_head->stamp, sizeof(out_head->stamp));
    if (hash_on(hash, bytes + sizeof(*out_head), (size_t)n_bytes - sizeof(*out_head)) !=
        out_head->hash) {
        return corrupt("its checksum differs");
    }
    char stamp[128];
    gpu_driver_stamp(driver, stamp);
    if (memcmp(stamp, out_head->stamp, sizeof(stamp)) != 0) {
        return kit_report(SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE), SY_NO_VALUE,
                          "the code in the blob is for %.80s, here is %.80s", out_head->stamp,
                          stamp);
    }
    return SY_OK;
}

static gpu_kernel find_kernel(const gpu_driver *driver, const code_entry *entry) {
    bool fits = (entry->with_subgroups != 0) == driver->device.has_subgroups &&
                (entry->with_halves != 0) == driver->device.has_halves;
    for (uint32_t k = 0; fits && k < GPU_KERNEL_COUNT; k++) {
        if (strncmp(entry->kernel, gpu_kernels[k].name, NAME_CHARS) == 0 &&
            memcmp(entry->digest, ocl_kernel_sources[k].digest, OCL_DIGEST_CHARS) == 0) {
            return (gpu_kernel)k;
        }
    }
    return GPU_KERNEL_COUNT; /* gone, changed, or of other options: compiled when asked for */
}

static bool is_known(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants) {
    const ocl_code *code = driver->code;
    while (code != NULL && (code->kernel != kernel ||
                            memcmp(code->constants, constants, sizeof(code->constants)) != 0)) {
        code = code->next;
    }
    return code != NULL || ocl_pipeline_find(driver, kernel, constants) != NULL;
}

static sy_status keep(gpu_driver *driver, const code_entry *entry, const uint8_t *bytes) {
    gpu_kernel kernel = find_kernel(driver, entry);
    if (kernel == GPU_KERNEL_COUNT || is_known(driver, kernel, entry->constants)) {
        return SY_OK;
    }
    ocl_code *code = kit_alloc_raw(sizeof(*code) + (size_t)entry->n_bytes);
    if (code == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to keep code");
    }
    code->kernel = kernel;
    memcpy(code->constants, entry->constants, sizeof(code->constants));
    code->n_bytes = (size_t)entry->n_bytes;
    memcpy(code->bytes, bytes + entry->offset_bytes, code->n_bytes);
    code->next = driver->code;
    driver->code = code;
    return SY_OK;
}

sy_status gpu_driver_code_read(gpu_driver *driver, const void *bytes, uint64_t n_bytes) {
    code_head head;
    sy_status status = ocl_check(driver);
    if (status == SY_OK) {
        status = check_head(driver, bytes, n_bytes, &head);
    }
    for (uint32_t i = 0; status == SY_OK && i < head.n_entries; i++) {
        code_entry entry;
        memcpy(&entry, (const uint8_t *)bytes + sizeof(head) + i * sizeof(entry), sizeof(entry));
        if (entry.n_bytes == 0 || entry.offset_bytes > n_bytes ||
            entry.n_bytes > n_bytes - entry.offset_bytes) {
            return corrupt("an entry points outside of it");
        }
        status = keep(driver, &entry, bytes);
    }
    return status;
}

ocl_code *ocl_code_take(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants) {
    for (ocl_code **link = &driver->code; *link != NULL; link = &(*link)->next) {
        ocl_code *code = *link;
        if (code->kernel == kernel &&
            memcmp(code->constants, constants, sizeof(code->constants)) == 0) {
            *link = code->next;
            return code;
        }
    }
    return NULL;
}

void ocl_code_free(ocl_code *code) {
    kit_release(code, sizeof(*code) + code->n_bytes);
}

void gpu_driver_code_forget(gpu_driver *driver) {
    while (driver->code != NULL) {
        ocl_code *code = driver->code;
        driver->code = code->next;
        ocl_code_free(code);
    }
}
