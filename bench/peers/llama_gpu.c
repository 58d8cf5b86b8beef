/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llama.cpp with its compute libraries as shared objects, all layers on one device. gpu.py compiles
 * it against the prebuilt libraries that it measures.
 *
 *   llama_gpu rate FOLDER DEVICE MODEL THREADS PREFILL DECODE REPEATS
 *   llama_gpu start FOLDER DEVICE MODEL THREADS
 *
 * FOLDER: folder of the shared objects. DEVICE: the beginning of a device's name, as Vulkan;
 * CPU: no layer on any. rate gives a line of JSON about the device and one for every sample; start
 * the first greedy token after 16 others, as soon as it is there.
 */
#include "llama_shared.h"

#include <ggml-backend.h>

#include <string.h>
#include <time.h>

#define START_TOKENS 16

static struct {
    int n_there, n_layers; /* that llama.cpp says to have put on the device */
    double host_mib;       /* of weights that it left to the CPU */
    double device_mib;     /* of its buffers there */
} told;

static void listen(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    const char *found = strstr(text, "offloaded ");
    if (found != NULL) {
        (void)sscanf(found, "offloaded %d/%d layers", &told.n_there, &told.n_layers);
    }
    found = strstr(text, " buffer size =");
    if (found != NULL && strstr(text, "CPU") == NULL && strstr(text, "Host") == NULL) {
        told.device_mib += strtod(found + strlen(" buffer size ="), NULL);
    } else if (found != NULL && strstr(text, " model buffer") != NULL) {
        told.host_mib += strtod(found + strlen(" buffer size ="), NULL);
    }
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static double cpu_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static ggml_backend_dev_t find_device(const char *name) {
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (strncmp(ggml_backend_dev_name(device), name, strlen(name)) == 0) {
            return device;
        }
    }
    fprintf(stderr, "llama.cpp: no device %s; GGML_VK_VISIBLE_DEVICES=0 takes a software one\n",
            name);
    exit(1);
}

static void open_peer(peer *p, char **argv, uint32_t n_tokens, ggml_backend_dev_t *out_device) {
    llama_log_set(listen, NULL);
    ggml_backend_load_all_from_path(argv[0]);
    ggml_backend_dev_t devices[2] = {find_device(argv[1]), NULL};
    bool is_cpu = ggml_backend_dev_type(devices[0]) == GGML_BACKEND_DEVICE_TYPE_CPU;
    struct llama_model_params model = llama_model_default_params();
    ggml_backend_dev_t none[1] = {NULL};
    model.devices = is_cpu ? none : devices;
    model.n_gpu_layers = is_cpu ? 0 : 999;
    p->model = llama_model_load_from_file(argv[2], model);
    must(p->model != NULL, "llama_model_load_from_file");
    must(is_cpu || (told.n_layers > 0 && told.n_there == told.n_layers),
         "putting all layers on the device");
    struct llama_context_params params = llama_context_default_params();
    p->n_threads = number(argv[3]);
    params.n_ctx = n_tokens;
    params.n_threads = p->n_threads;
    params.n_threads_batch = p->n_threads;
    params.no_perf = true;
    p->context = llama_init_from_model(p->model, params);
    must(p->context != NULL, "llama_init_from_model");
    p->batch = llama_batch_init(2048, 0, 1);
    *out_device = devices[0];
}

static void close_peer(peer *p) {
    llama_batch_free(p->batch);
    llama_free(p->context);
    llama_model_free(p->model);
}

/* What greedy sampling of its own does: all logits, the highest. */
static llama_token best_token(const peer *p) {
    const float *logits = llama_get_logits_ith(p->context, -1);
    int n = llama_vocab_n_tokens(llama_model_get_vocab(p->model));
    llama_token best = 0;
    for (int i = 1; i < n; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

typedef struct usage {
    double us, host_us, process_us;
} usage;

static usage used_now(void) {
    return (usage){now_us(), cpu_us(CLOCK_THREAD_CPUTIME_ID), cpu_us(CLOCK_PROCESS_CPUTIME_ID)};
}

static void say(const char *measure, usage before, int n_tokens) {
    usage now = used_now();
    printf("{\"measure\": \"%s\", \"value\": %.9g, \"host_us\": %.9g, \"process_us\": %.9g}\n",
           measure, n_tokens * 1e6 / (now.us - before.us),
           (now.host_us - before.host_us) / n_tokens,
           (now.process_us - before.process_us) / n_tokens);
    fflush(stdout);
}

static void decode_token(peer *p, int place, llama_token token) {
    p->batch.n_tokens = 1;
    p->batch.token[0] = token;
    p->batch.pos[0] = place;
    p->batch.n_seq_id[0] = 1;
    p->batch.seq_id[0][0] = 0;
    p->batch.logits[0] = 1;
    must(llama_decode(p->context, p->batch) == 0, "llama_decode");
}

static void rate(char **argv) {
    peer p = {0};
    ggml_backend_dev_t device = NULL;
    int n_prefill = number(argv[4]), n_decode = number(argv[5]), n_repeats = number(argv[6]);
    int n_most = n_prefill > n_decode ? n_prefill : n_decode;
    open_peer(&p, argv, (uint32_t)n_most + 64, &device);
    (void)decode(&p, 0, n_prefill, 0, 1); /* pipelines of both are made */
    decode_token(&p, n_prefill, best_token(&p));
    printf("{\"device\": \"%s\", \"layers\": %d, \"of\": %d, \"device_mib\": %.9g, "
           "\"host_mib\": %.9g}\n",
           ggml_backend_dev_description(device), told.n_there, told.n_layers, told.device_mib,
           told.host_mib);
    for (int r = 0; r < n_repeats; r++) {
        llama_memory_clear(llama_get_memory(p.context), false);
        usage before = used_now();
        (void)decode(&p, 0, n_prefill, 0, 1);
        say("prefill", before, n_prefill);
        llama_memory_clear(llama_get_memory(p.context), false);
        (void)decode(&p, 0, 1, 0, 1); /* from one token on, as switchyard bench */
        llama_token token = best_token(&p);
        before = used_now();
        for (int i = 0; i < n_decode; i++) {
            decode_token(&p, 1 + i, token);
            token = best_token(&p);
        }
        say("decode", before, n_decode);
    }
    close_peer(&p);
}

static void start(char **argv) {
    peer p = {0};
    ggml_backend_dev_t device = NULL;
    open_peer(&p, argv, 2048, &device);
    (void)decode(&p, 0, START_TOKENS, 0, 1);
    printf("%d\n", best_token(&p));
    fflush(stdout);
    close_peer(&p);
}

int main(int argc, char **argv) {
    if (argc == 9 && strcmp(argv[1], "rate") == 0) {
        rate(argv + 2);
    } else if (argc == 6 && strcmp(argv[1], "start") == 0) {
        start(argv + 2);
    } else {
        fprintf(stderr, "usage: llama_gpu rate FOLDER DEVICE MODEL THREADS PREFILL DECODE "
                        "REPEATS\n       llama_gpu start FOLDER DEVICE MODEL THREADS\n");
        return 2;
    }
    return 0;
}
