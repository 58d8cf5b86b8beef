/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this driver share. */
#ifndef OCL_H
#define OCL_H

#include "api.h"
#include "driver.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- devices (devices.c) ---- */
/* A device that can run the kernels, and what it offers beyond gpu_limits. */
typedef struct ocl_device {
    cl_platform_id platform;
    cl_device_id id;
    gpu_limits limits;
    bool has_svm;       /* fine-grained buffers of clSVMAlloc: host and kernels see one memory */
    bool has_subgroups; /* of OpenCL C 2.0 and later; their size is known once the device is open */
    char language[16];  /* -cl-std= for kernels with subgroups; see ocl_language */
    bool has_halves;    /* cl_khr_fp16 */
    bool keeps_subnormal_halves;
    bool likes_images;    /* has a cache that serves them alone */
    uint64_t images_most; /* texels of an image over a buffer; 0: there are none */
} ocl_device;

/* -cl-std= of a device's programs: no newer than what they use. */
static inline const char *ocl_language(const ocl_device *device) {
    return device->has_subgroups ? device->language : "CL1.2";
}

#define OCL_DEVICES_MOST 16u
/* Fills out_devices in the order of the platforms; 0 is a good answer, after a remark that says
 * why. The ids are unique. */
uint32_t ocl_devices_find(const ocl_api *api, ocl_device out_devices[OCL_DEVICES_MOST]);
bool ocl_device_flag(const ocl_api *api, cl_device_id id, cl_device_info what);
uint64_t ocl_device_number(const ocl_api *api, cl_device_id id, cl_device_info what);

/* ---- tickets (tickets.c): which runs are done ---- */
#define OCL_TICKETS_MOST 256u /* that can be under way */

/* One run, by the event of its last command. */
typedef struct ocl_ticket {
    struct ocl_tickets *all;
    uint64_t number;
    cl_event event;  /* NULL: done, with `result` */
    bool is_watched; /* a callback will come */
    cl_int result;   /* CL_COMPLETE or an error code */
} ocl_ticket;

typedef struct ocl_tickets {
    const ocl_api *api;
    pthread_mutex_t lock; /* against callbacks */
    pthread_cond_t changed;
    uint64_t newest;
    ocl_ticket slots[OCL_TICKETS_MOST]; /* number modulo OCL_TICKETS_MOST */
} ocl_tickets;

bool ocl_tickets_init(ocl_tickets *tickets, const ocl_api *api);
/* False while a run is not done after some seconds: then nothing of it may be freed. */
bool ocl_tickets_deinit(ocl_tickets *tickets);
bool ocl_tickets_is_over(ocl_tickets *tickets, uint64_t number);
/* Whether one more can be under way. */
bool ocl_tickets_has_room(ocl_tickets *tickets);
/* Takes over the event; there was room. */
uint64_t ocl_tickets_add(ocl_tickets *tickets, cl_event event);
/* SY_OK: *out_result holds CL_COMPLETE or the error code that it ended with. */
sy_status ocl_tickets_wait(ocl_tickets *tickets, uint64_t number, uint64_t deadline_ns,
                           cl_int *out_result);

/* ---- first runs (first_run.c) ---- */
/* Where kernels run for the first time: more addresses than any index reaches, no memory. */
typedef struct ocl_ground {
    void *addresses;
    cl_mem parameters, binding, texels;
    bool is_missing;
} ocl_ground;

/* ---- the driver ---- */
/* That are kept, used or not: they lie in the driver, so that keeping one keeps no memory of the
 * host's. */
#define OCL_PIPELINES_MOST 1024u

struct gpu_pipeline {
    gpu_driver *driver;
    cl_program program; /* NULL: a free place */
    gpu_kernel kernel;
    uint32_t constants[GPU_CONSTANTS_MAX]; /* those not given are 1 */
    uint32_t n_users;
    uint64_t last_use;
};

struct gpu_driver {
    const ocl_api *api;
    ocl_device device;
    cl_context context;
    cl_command_queue queue; /* in order */
    uint64_t memory_limit_bytes;
    bool is_budget;        /* the limit was configured */
    struct ocl_code *code; /* binaries that were read and not yet used */
    atomic_ullong taken_bytes, n_compiled, last_serial;
    atomic_bool is_lost;
    ocl_tickets tickets;
    ocl_ground ground;
    uint64_t n_uses; /* of pipelines */
    gpu_pipeline pipelines[OCL_PIPELINES_MOST];
};

/* OK, or UNAVAILABLE once the device is lost. */
sy_status ocl_check(const gpu_driver *driver);
/* The status of a failed call, reported: `what` names what was tried. Codes that mean that the
 * device is gone mark it lost. */
sy_status ocl_failed(gpu_driver *driver, cl_int code, const char *what);
/* The same for work that was on the device: all but a lack of memory means that it is lost. */
sy_status ocl_work_failed(gpu_driver *driver, cl_int code, const char *what);
const char *ocl_code_text(cl_int code);

/* ---- memory (memory.c) ---- */
struct gpu_memory {
    gpu_driver *driver;
    uint64_t serial;
    cl_mem buffer;
    void *shared;     /* of clSVMAlloc, or imported: host and kernels see the same bytes */
    uint8_t *shadow;  /* SHARED without such memory: the truth while no recording runs */
    uint64_t n_bytes; /* as asked for; the buffer has size_bytes */
    uint64_t size_bytes;
    bool is_import;
    uint64_t back_ticket; /* of the newest run that writes the shadow */
};

/* ---- texels (recording.c) ---- */
#define OCL_TEXELS_BINDING 1u
static inline bool ocl_reads_texels(const gpu_pipeline *pipeline) {
    return pipeline->constants[GPU_TEXELS] == GPU_TEXELS_ON;
}
/* An image of four words each over the first bytes of a buffer. */
cl_mem ocl_texels_of(gpu_driver *driver, cl_mem buffer, uint64_t n_bytes, cl_int *out_code);

/* ---- programs (programs.c, code.c) ---- */
/* A binary out of a blob. */
typedef struct ocl_code {
    struct ocl_code *next;
    gpu_kernel kernel;
    uint32_t constants[GPU_CONSTANTS_MAX];
    size_t n_bytes;
    uint8_t bytes[];
} ocl_code;

/* Devices on the CPU make machine code when a kernel first runs: that is now. */
sy_status ocl_first_run(gpu_pipeline *pipeline);
void ocl_ground_free(gpu_driver *driver);
/* One that was made, or NULL. */
gpu_pipeline *ocl_pipeline_find(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants);
void ocl_pipelines_free(gpu_driver *driver);
/* The binary for a pipeline, taken out of the list, or NULL. */
ocl_code *ocl_code_take(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants);
void ocl_code_free(ocl_code *code);
/* Builds a program from source; a failure is reported by name, with the log's first errors. */
sy_status ocl_program_build(gpu_driver *driver, const char *const *texts, uint32_t n_texts,
                            const char *options, const char *name, cl_program *out_program);

#endif
