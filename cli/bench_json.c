/* SPDX-License-Identifier: Apache-2.0 */
/* The results as JSON; docs/bench.md tells what the members mean. */
#include "bench.h"
#include "json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_text(FILE *out, const char *key, const char *value) {
    fprintf(out, "\"%s\": ", key);
    sy_cli_put_json_text(out, value);
}

static void put_number(FILE *out, const char *key, double value) {
    if (isfinite(value)) {
        fprintf(out, "\"%s\": %.9g", key, value);
    } else {
        fprintf(out, "\"%s\": null", key);
    }
}

static void put_samples(FILE *out, const char *key, const sy_bench_samples *samples) {
    fprintf(out, "\"%s\": [", key);
    for (uint32_t i = 0; i < samples->n; i++) {
        fprintf(out, "%s%.9g", i > 0 ? ", " : "", samples->items[i]);
    }
    fputc(']', out);
}

static void put_work(FILE *out, const sy_bench_work *work, double n_tokens) {
    put_number(out, "weight_bytes_per_token", work->weight_bytes / n_tokens);
    fputs(", ", out);
    put_number(out, "state_bytes_per_token", work->state_bytes / n_tokens);
    fputs(", ", out);
    put_number(out, "int8_macs_per_token", work->int8_macs / n_tokens);
    fputs(", ", out);
    put_number(out, "f32_macs_per_token", work->f32_macs / n_tokens);
}

static void put_profile(FILE *out, const sy_bench_series *series, double n_tokens) {
    const sy_bench_profile *profile = series->profile;
    fputs(",\n      \"operators\": [", out);
    for (uint32_t i = 0; i < profile->n_groups; i++) {
        const sy_bench_group *group = &profile->groups[i];
        fprintf(out, "%s\n        {", i > 0 ? "," : "");
        put_text(out, "name", group->name);
        fprintf(out, ", \"nodes\": %u, ", group->n_nodes);
        put_number(out, "us_per_token", group->ns / n_tokens / 1e3);
        fputs(", ", out);
        put_work(out, &group->work, n_tokens);
        fputc('}', out);
    }
    fputs("],\n      \"segments\": [", out);
    for (uint32_t i = 0; i < profile->n_segments; i++) {
        const sy_bench_segment *segment = &profile->segments[i];
        double runs = segment->n_runs > 0 ? segment->n_runs : 1;
        fprintf(out, "%s\n        {", i > 0 ? "," : "");
        put_text(out, "delegate", segment->delegate);
        fprintf(out, ", \"nodes\": %u, ", segment->n_nodes);
        put_number(out, "runs", segment->n_runs);
        fputs(", ", out);
        put_number(out, "measured_us", segment->ns / runs / 1e3);
        fputs(", ", out);
        put_number(out, "predicted_us", segment->predicted_us);
        fputs(", ", out);
        put_number(out, "transfer_us", segment->transfer_ns / runs / 1e3);
        fputc('}', out);
    }
    fputc(']', out);
}

static void put_rates(FILE *out, const sy_bench_series *series) {
    sy_bench_summary s;
    sy_bench_summarise(series, &s);
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"best", s.spread.most},
                   {"median", s.spread.median},
                   {"least", s.spread.least},
                   {"gb_per_s", s.gb_per_s},
                   {"gmac_per_s", s.gmac_per_s},
                   {"attainable_tokens_per_s", s.attainable},
                   {"share_of_roofline", s.share},
                   {"read_gb_per_s", series->read_gb_per_s},
                   {"int8_peak_gmac_per_s", series->peaks.int8_gmac_per_s},
                   {"f32_peak_gmac_per_s", series->peaks.f32_gmac_per_s}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        put_number(out, numbers[i].key, numbers[i].value);
        fputs(", ", out);
    }
    put_text(out, "bound_by", s.is_memory_bound ? "memory" : "compute");
}

static void put_series(FILE *out, const sy_bench_series *series) {
    double n_tokens = (double)series->n_tokens * series->n_sequences;
    fprintf(out,
            "    {\"kind\": \"%s\", \"threads\": %u, \"tokens\": %u, \"depth\": %u, "
            "\"sequences\": %u,\n      ",
            series->kind == SY_BENCH_PREFILL ? "prefill" : "decode", series->n_threads,
            series->n_tokens, series->depth, series->n_sequences);
    put_samples(out, "tokens_per_s", &series->tokens_per_s);
    fputs(",\n      ", out);
    put_rates(out, series);
    fputs(",\n      ", out);
    put_work(out, &series->work, n_tokens);
    if (series->n_energy_tokens > 0) {
        fputs(", ", out);
        put_number(out, "mj_per_token", series->energy_uj / series->n_energy_tokens / 1e3);
    } else {
        fputs(", \"mj_per_token\": null", out);
    }
    const struct {
        const char *key;
        const sy_bench_samples *samples;
    } costs[] = {{"process_us_per_token", &series->process_us},
                 {"host_us_per_token", &series->host_us},
                 {"written_bytes_per_token", &series->written_bytes},
                 {"read_bytes_per_token", &series->read_bytes}};
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
        fputs(",\n      ", out);
        put_samples(out, costs[i].key, costs[i].samples);
    }
    if (series->peer.n > 0) {
        fputs(",\n      ", out);
        put_samples(out, "llama_cpp_tokens_per_s", &series->peer);
    }
    if (series->profile != NULL) {
        put_profile(out, series, n_tokens);
    }
    fputc('}', out);
}

static void put_start(FILE *out, const sy_bench_start *start) {
    fprintf(out, "    {\"threads\": %u, ", start->n_threads);
    put_samples(out, "first_token_ms", &start->first_ms);
    fprintf(out,
            ", \"peak_kib\": %" PRIu64 ", \"anonymous_kib\": %" PRIu64 ", \"file_kib\": %" PRIu64
            ", \"segments_compiled\": %" PRIu64 ", \"segments_from_blobs\": %" PRIu64 "}",
            start->peak_kib, start->anon_kib, start->file_kib, start->n_compiled, start->n_loaded);
}

/* 0 is not known. */
static void put_known(FILE *out, const char *key, uint64_t value) {
    if (value > 0) {
        fprintf(out, "\"%s\": %" PRIu64, key, value);
    } else {
        fprintf(out, "\"%s\": null", key);
    }
}

static void put_device(FILE *out, const sy_bench_device *device) {
    fputs("    {", out);
    put_text(out, "delegate", device->delegate);
    fputs(", ", out);
    put_text(out, "id", device->id);
    fputs(", ", out);
    put_text(out, "driver", device->driver);
    fputs(", ", out);
    put_known(out, "memory_total_bytes", device->memory_total_bytes);
    fputs(", ", out);
    put_known(out, "memory_free_bytes", device->memory_free_bytes);
    fputc('}', out);
}

static void put_all(FILE *out, const sy_bench *bench) {
    const sy_bench_model *about = &bench->about;
    fputs("{\n  \"format\": \"switchyard-bench\", \"version\": 1,\n  ", out);
    put_text(out, "model", bench->engine.model);
    fputs(", ", out);
    put_text(out, "architecture", about->architecture);
    fputs(", ", out);
    put_text(out, "name", about->name);
    fprintf(out, ", \"parameters\": %" PRIu64 ", \"weight_bytes\": %" PRIu64 ",\n  ",
            about->n_parameters, about->weight_bytes);
    put_text(out, "key_type", about->key_type);
    fputs(", ", out);
    put_text(out, "value_type", about->value_type);
    fputs(", ", out);
    put_text(out, "prefill_on", about->placement[0]);
    fputs(", ", out);
    put_text(out, "decode_on", about->placement[1]);
    fprintf(out, ",\n  \"buffer_bytes\": %" PRIu64 ", \"interrupted\": %s,\n  \"series\": [",
            bench->buffer_bytes, sy_bench_stopped() ? "true" : "false");
    for (uint32_t i = 0; i < bench->n_series; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        put_series(out, &bench->series[i]);
    }
    fputs("],\n  \"devices\": [", out);
    for (uint32_t i = 0; i < about->n_devices; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        put_device(out, &about->devices[i]);
    }
    fputs("],\n  \"starts\": [", out);
    for (uint32_t i = 0; i < bench->n_starts; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        put_start(out, &bench->starts[i]);
    }
    fputs("]\n}\n", out);
}

sy_status sy_bench_write_json(const sy_bench *bench, const char *path, sy_error *error) {
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (out == NULL) {
        return sy_error_set(error, SY_PERMISSION_DENIED, "The results cannot be written to %s: %s.",
                            path, strerror(errno));
    }
    put_all(out, bench);
    int failed = ferror(out);
    failed = (out == stdout ? fflush(out) : fclose(out)) != 0 || failed;
    return failed ? sy_error_set(error, SY_UNAVAILABLE, "The results were not written to %s.", path)
                  : SY_OK;
}
