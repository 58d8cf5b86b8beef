/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled code in blobs. All numbers are little-endian words of 32 bits:
 *   0  magic, 2 words    2  format    3  pipelines
 *   4  bytes of all      6  digest of all that follows, 2 words each
 *   8  stamp, 128 bytes
 *  40  for each pipeline: digest of its SPIR-V (2 words), number of constants, bytes of code, the
 *      constants, the code filled up to a whole word
 * The code is what the driver says of a pipeline cache that holds this pipeline alone. Nothing of
 * it reaches the driver before all of the bytes were looked through.
 */
#include "vk.h"

#include "values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "SYvkcode"
#define FORMAT 1u
#define STAMP_BYTES 128u
#define PIPELINES_MOST 65536u

typedef struct blob_header {
    char magic[8];
    uint32_t format, n_pipelines;
    uint64_t n_bytes, digest;
    char stamp[STAMP_BYTES];
} blob_header;

typedef struct blob_entry {
    uint64_t identity;
    uint32_t n_constants, n_bytes;
} blob_entry;

_Static_assert(sizeof(blob_header) == 160 && sizeof(blob_entry) == 16, "no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is");

/* FNV-1a: any changed byte changes it. Who may write blobs is the host's concern. */
uint64_t vk_digest(uint64_t digest, const void *bytes, size_t n_bytes) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        digest = (digest ^ at[i]) * 0x100000001b3ull;
    }
    return digest;
}

void gpu_driver_stamp(const gpu_driver *driver, char out_stamp[128]) {
    const VkPhysicalDeviceProperties *properties = &driver->physical.properties;
    char uuid[2 * VK_UUID_SIZE + 1];
    for (uint32_t i = 0; i < VK_UUID_SIZE; i++) {
        snprintf(uuid + 2 * i, 3, "%02x", properties->pipelineCacheUUID[i]);
    }
    memset(out_stamp, 0, STAMP_BYTES);
    snprintf(out_stamp, STAMP_BYTES, "vulkan %x:%x %s %x %s", properties->vendorID,
             properties->deviceID, uuid, properties->driverVersion, driver->limits.driver);
}

/* ---- writing ---- */
typedef struct blob_writer {
    uint64_t begin, at; /* offsets in the blob of the host */
    uint64_t digest;
} blob_writer;

static sy_status put(blob_writer *writer, const void *bytes, size_t n_bytes) {
    sy_status status = kit_blob_write(writer->at, bytes, n_bytes);
    writer->at += n_bytes;
    writer->digest = vk_digest(writer->digest, bytes, n_bytes);
    return status;
}

/* The header that the specification gives to all pipeline caches fits this device. */
static bool is_cache_of(const gpu_driver *driver, const uint8_t *bytes, size_t n_bytes) {
    const VkPhysicalDeviceProperties *properties = &driver->physical.properties;
    VkPipelineCacheHeaderVersionOne header;
    if (n_bytes < sizeof(header)) {
        return n_bytes == 0;
    }
    memcpy(&header, bytes, sizeof(header));
    return header.headerSize >= sizeof(header) && header.headerSize <= n_bytes &&
           header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           header.vendorID == properties->vendorID && header.deviceID == properties->deviceID &&
           memcmp(header.pipelineCacheUUID, properties->pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

static sy_status put_pipeline(blob_writer *writer, const gpu_pipeline *pipeline) {
    const gpu_driver *driver = pipeline->driver;
    static const uint8_t zeros[4];
    size_t n = 0;
    VkResult result = driver->call.GetPipelineCacheData(driver->device, pipeline->cache, &n, NULL);
    if (result != VK_SUCCESS || n > UINT32_MAX) {
        return vk_fail(pipeline->driver, result, "tell the code of a pipeline");
    }
    size_t capacity = n;
    uint8_t *bytes = kit_alloc_raw(capacity);
    if (bytes == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no host memory for the code of a pipeline");
    }
    result = driver->call.GetPipelineCacheData(driver->device, pipeline->cache, &n, bytes);
    sy_status status = result == VK_SUCCESS
                           ? SY_OK
                           : vk_fail(pipeline->driver, result, "write the code of a pipeline");
    if (status == SY_OK && !is_cache_of(driver, bytes, n)) {
        n = 0; /* Mesa 26 tells of 20 bytes where a cache is empty, less than its header */
    }
    blob_entry entry = {pipeline->identity, pipeline->n_constants, (uint32_t)n};
    status = status == SY_OK ? put(writer, &entry, sizeof(entry)) : status;
    status = status == SY_OK ? put(writer, pipeline->constants,
                                   sizeof(pipeline->constants[0]) * pipeline->n_constants)
                             : status;
    status = status == SY_OK ? put(writer, bytes, n) : status;
    status = status == SY_OK && n % 4 != 0 ? put(writer, zeros, 4 - n % 4) : status;
    kit_release(bytes, capacity);
    return status;
}

sy_status gpu_driver_code_write(gpu_driver *driver, gpu_pipeline *const *pipelines,
                                uint32_t n_pipelines, uint64_t offset_bytes, uint64_t *out_end) {
    blob_header header = {.magic = MAGIC, .format = FORMAT, .n_pipelines = n_pipelines};
    blob_writer writer = {offset_bytes, offset_bytes + sizeof(header), 0};
    sy_status status = vk_check(driver);
    if (status == SY_OK && n_pipelines > PIPELINES_MOST) {
        status = kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "a blob of %u pipelines, at most %u",
                            n_pipelines, PIPELINES_MOST);
    }
    gpu_driver_stamp(driver, header.stamp);
    writer.digest = vk_digest(VK_DIGEST_BEGIN, header.stamp, STAMP_BYTES);
    for (uint32_t i = 0; status == SY_OK && i < n_pipelines; i++) {
        status = put_pipeline(&writer, pipelines[i]);
    }
    if (status != SY_OK) {
        return status;
    }
    header.n_bytes = writer.at - writer.begin;
    header.digest = vk_digest(writer.digest, &header, offsetof(blob_header, digest));
    status = kit_blob_write(offset_bytes, &header, sizeof(header));
    if (status == SY_OK) {
        *out_end = writer.at;
    }
    return status;
}

/* ---- reading ---- */
static sy_status corrupt(const char *what) {
    return kit_report(SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT), SY_NO_VALUE,
                      "compiled code in a blob is damaged: %s", what);
}

static sy_status read_header(const gpu_driver *driver, const uint8_t *bytes, uint64_t n_bytes,
                             blob_header *out) {
    char stamp[STAMP_BYTES];
    if (n_bytes < sizeof(*out)) {
        return corrupt("it ends within its header");
    }
    memcpy(out, bytes, sizeof(*out));
    if (memcmp(out->magic, MAGIC, sizeof(out->magic)) != 0 || out->format != FORMAT) {
        return corrupt("it is of another kind");
    }
    if (out->n_bytes != n_bytes || out->n_pipelines > PIPELINES_MOST) {
        return corrupt("it is cut short");
    }
    uint64_t digest = vk_digest(VK_DIGEST_BEGIN, out->stamp, STAMP_BYTES);
    digest = vk_digest(digest, bytes + sizeof(*out), n_bytes - sizeof(*out));
    if (vk_digest(digest, out, offsetof(blob_header, digest)) != out->digest) {
        return corrupt("its digest differs");
    }
    gpu_driver_stamp(driver, stamp);
    if (memcmp(stamp, out->stamp, STAMP_BYTES) != 0) {
        return kit_report(SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE), SY_NO_VALUE,
                          "compiled code is for \"%.100s\"; here is \"%.100s\"", out->stamp, stamp);
    }
    return SY_OK;
}

static bool is_same(const vk_known *known, uint64_t identity, const uint32_t *constants,
                    uint32_t n_constants) {
    return known->identity == identity && known->n_constants == n_constants &&
           memcmp(known->constants, constants, sizeof(*constants) * n_constants) == 0;
}

/* A copy of what was found, unless it is there. */
static sy_status keep(gpu_driver *driver, const vk_known *found, const uint8_t *bytes) {
    for (size_t i = 0; i < driver->n_known; i++) {
        if (is_same(&driver->known[i], found->identity, found->constants, found->n_constants)) {
            return SY_OK;
        }
    }
    vk_known copy = *found;
    copy.bytes = kit_alloc_raw(found->n_bytes);
    if (copy.bytes == NULL || !kit_array_grow((void **)&driver->known, driver->n_known,
                                              &driver->known_capacity, sizeof(*driver->known))) {
        kit_release(copy.bytes, found->n_bytes);
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for compiled code");
    }
    memcpy(copy.bytes, bytes, found->n_bytes);
    driver->known[driver->n_known++] = copy;
    return SY_OK;
}

/* Looks an entry through, and keeps it where asked to. */
static sy_status read_entry(gpu_driver *driver, const uint8_t **inout_at, uint64_t *inout_left,
                            bool is_kept) {
    blob_entry entry;
    vk_known found = {0};
    if (*inout_left < sizeof(entry)) {
        return corrupt("a pipeline is cut short");
    }
    memcpy(&entry, *inout_at, sizeof(entry));
    uint64_t filled = ((uint64_t)entry.n_bytes + 3u) / 4u * 4u;
    if (entry.n_constants == 0 || entry.n_constants > GPU_CONSTANTS_MAX) {
        return corrupt("a pipeline has an impossible number of constants");
    }
    uint64_t n_constant_bytes = sizeof(uint32_t) * entry.n_constants;
    if (*inout_left - sizeof(entry) < n_constant_bytes + filled) {
        return corrupt("the code of a pipeline is cut short");
    }
    memcpy(found.constants, *inout_at + sizeof(entry), n_constant_bytes);
    found.identity = entry.identity;
    found.n_constants = entry.n_constants;
    found.n_bytes = entry.n_bytes;
    const uint8_t *code = *inout_at + sizeof(entry) + n_constant_bytes;
    *inout_at = code + filled;
    *inout_left -= sizeof(entry) + n_constant_bytes + filled;
    if (!is_cache_of(driver, code, found.n_bytes)) {
        return corrupt("the code of a pipeline is for another device");
    }
    return is_kept ? keep(driver, &found, code) : SY_OK;
}

sy_status gpu_driver_code_read(gpu_driver *driver, const void *bytes, uint64_t n_bytes) {
    blob_header header;
    sy_status status = vk_check(driver);
    status = status == SY_OK ? read_header(driver, bytes, n_bytes, &header) : status;
    for (uint32_t pass = 0; status == SY_OK && pass < 2; pass++) { /* look through, then keep */
        const uint8_t *at = (const uint8_t *)bytes + sizeof(header);
        uint64_t left = n_bytes - sizeof(header);
        for (uint32_t i = 0; status == SY_OK && i < header.n_pipelines; i++) {
            status = read_entry(driver, &at, &left, pass == 1);
        }
        if (status == SY_OK && left != 0) {
            status = corrupt("bytes follow its end");
        }
    }
    return status;
}

/* ---- what was read ---- */
const vk_known *vk_known_find(const gpu_driver *driver, const gpu_pipeline *pipeline) {
    for (size_t i = 0; i < driver->n_known; i++) {
        if (is_same(&driver->known[i], pipeline->identity, pipeline->constants,
                    pipeline->n_constants)) {
            return &driver->known[i];
        }
    }
    return NULL;
}

void gpu_driver_code_forget(gpu_driver *driver) {
    for (size_t i = 0; i < driver->n_known; i++) {
        kit_release(driver->known[i].bytes, driver->known[i].n_bytes);
    }
    kit_release(driver->known, sizeof(*driver->known) * driver->known_capacity);
    driver->known = NULL;
    driver->n_known = driver->known_capacity = 0;
}
