/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results as a picture: left the roofline (multiply-adds per byte against what was attained,
 * both logarithmic), right tokens/s over depth. It looks like the picture of `switchyard plan`.
 */
#include "bench.h"
#include "bench_child.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 1240.0
#define HEIGHT 560.0
#define PANEL_WIDTH 500.0
#define PANEL_HEIGHT 380.0
#define PANEL_TOP 80.0
#define LEFT_PANEL 70.0
#define RIGHT_PANEL 700.0
#define PNG_PROGRAM "rsvg-convert"

static const char *const colours[] = {"#4c78a8", "#f58518", "#54a24b", "#b279a2",
                                      "#e45756", "#72b7b2", "#eeca3b", "#9d755d"};
#define N_COLOURS (sizeof(colours) / sizeof(colours[0]))

/* One axis: values [low, high] on pixels [from, to]. */
typedef struct axis {
    double low, high, from, to;
    int is_log;
} axis;

static double at(const axis *a, double value) {
    double share = a->is_log ? log(value / a->low) / log(a->high / a->low)
                             : (value - a->low) / (a->high - a->low);
    return a->from + share * (a->to - a->from);
}

static void put_escaped(FILE *out, const char *string) {
    for (const char *c = string; *c != '\0'; c++) {
        switch (*c) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*c < 0x20 ? ' ' : *c, out); /* XML allows no other */
        }
    }
}

static void put_text(FILE *out, double x, double y, const char *anchor, const char *text) {
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\" text-anchor=\"%s\">", x, y, anchor);
    put_escaped(out, text);
    fputs("</text>\n", out);
}

static void put_line(FILE *out, double x0, double y0, double x1, double y1, const char *style) {
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x0, y0, x1, y1,
            style);
}

static void put_point(FILE *out, double x, double y, const char *colour, const char *title) {
    fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"><title>", x, y, colour);
    put_escaped(out, title);
    fputs("</title></circle>\n", out);
}

/* The next value of 1, 2, 5, 10, ... (of 1, 10, 100, ... for logarithmic axes). */
static double next_tick(const axis *a, double value, double step) {
    return a->is_log ? value * 10.0 : value + step;
}

static double first_tick(const axis *a, double *out_step) {
    double step = pow(10.0, floor(log10((a->high - a->low) / 4.0)));
    if ((a->high - a->low) / step > 20.0) {
        step *= 5.0;
    } else if ((a->high - a->low) / step > 8.0) {
        step *= 2.0;
    }
    *out_step = step;
    return a->is_log ? pow(10.0, ceil(log10(a->low) - 1e-9)) : ceil(a->low / step) * step;
}

static void put_axes(FILE *out, const axis *x, const axis *y, const char *x_title,
                     const char *y_title) {
    static const char grid[] = "stroke=\"#e2e2e2\"";
    char label[32];
    double step = 0;
    fprintf(out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#888888\"/>\n",
            x->from, y->to, x->to - x->from, y->from - y->to);
    for (double v = first_tick(x, &step); v <= x->high * 1.0001; v = next_tick(x, v, step)) {
        put_line(out, at(x, v), y->from, at(x, v), y->to, grid);
        snprintf(label, sizeof(label), "%g", v);
        put_text(out, at(x, v), y->from + 16.0, "middle", label);
    }
    for (double v = first_tick(y, &step); v <= y->high * 1.0001; v = next_tick(y, v, step)) {
        put_line(out, x->from, at(y, v), x->to, at(y, v), grid);
        snprintf(label, sizeof(label), "%g", v);
        put_text(out, x->from - 6.0, at(y, v) + 4.0, "end", label);
    }
    put_text(out, (x->from + x->to) / 2.0, y->from + 36.0, "middle", x_title);
    put_text(out, x->from, y->to - 10.0, "start", y_title);
}

static double intensity(const sy_bench_series *series) {
    double bytes = series->work.weight_bytes + series->work.state_bytes;
    return bytes > 0 ? (series->work.int8_macs + series->work.f32_macs) / bytes : 0;
}

static size_t colour_of(const sy_bench *bench, uint32_t n_threads) {
    size_t n = 0;
    for (uint32_t i = 0; i < bench->n_series; i++) { /* thread counts come in runs */
        if (i > 0 && bench->series[i].n_threads != bench->series[i - 1].n_threads) {
            n++;
        }
        if (bench->series[i].n_threads == n_threads) {
            return n % N_COLOURS;
        }
    }
    return 0;
}

static int is_plotted(const sy_bench_series *series) {
    return series->tokens_per_s.n > 0 && intensity(series) > 0 && series->read_gb_per_s > 0;
}

/* A little more room than the points and roofs need. */
static void roofline_axes(const sy_bench *bench, axis *x, axis *y) {
    *x = (axis){0.5, 10.0, LEFT_PANEL, LEFT_PANEL + PANEL_WIDTH, 1};
    *y = (axis){1.0, 10.0, PANEL_TOP + PANEL_HEIGHT, PANEL_TOP, 1};
    for (uint32_t i = 0; i < bench->n_series; i++) {
        sy_bench_summary s;
        const sy_bench_series *series = &bench->series[i];
        sy_bench_summarise(series, &s);
        if (!is_plotted(series)) {
            continue;
        }
        double value = intensity(series), top = series->peaks.int8_gmac_per_s * 1.5;
        x->high = value * 2.0 > x->high ? value * 2.0 : x->high;
        x->low = value / 2.0 < x->low ? value / 2.0 : x->low;
        y->high = top > y->high ? top : y->high;
        y->high = s.gmac_per_s * 1.5 > y->high ? s.gmac_per_s * 1.5 : y->high;
        y->low = s.gmac_per_s / 2.0 < y->low ? s.gmac_per_s / 2.0 : y->low;
    }
}

/* One roof: memory rises to the peak, then it is flat. */
static void put_roof(FILE *out, const axis *x, const axis *y, double read, double peak,
                     const char *style) {
    double ridge = peak / read, low = x->low * read;
    double start_x = x->low, start_y = low;
    if (low < y->low) { /* clipped below */
        start_x = y->low / read;
        start_y = y->low;
    }
    if (ridge <= x->low || peak <= y->low || start_x >= x->high) {
        return;
    }
    double end = ridge < x->high ? ridge : x->high;
    put_line(out, at(x, start_x), at(y, start_y), at(x, end), at(y, end * read), style);
    if (ridge < x->high) {
        put_line(out, at(x, ridge), at(y, peak), at(x, x->high), at(y, peak), style);
    }
}

static void put_roofs(FILE *out, const sy_bench *bench, const axis *x, const axis *y) {
    uint32_t n_threads = 0;
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        char style[96];
        if (series->n_threads == n_threads || !is_plotted(series) ||
            series->peaks.int8_gmac_per_s <= 0) {
            continue;
        }
        n_threads = series->n_threads;
        const char *colour = colours[colour_of(bench, n_threads)];
        snprintf(style, sizeof(style), "stroke=\"%s\" stroke-width=\"2\"", colour);
        put_roof(out, x, y, series->read_gb_per_s, series->peaks.int8_gmac_per_s, style);
        snprintf(style, sizeof(style), "stroke=\"%s\" stroke-dasharray=\"4 3\"", colour);
        put_roof(out, x, y, series->read_gb_per_s, series->peaks.f32_gmac_per_s, style);
    }
}

static void put_roofline(FILE *out, const sy_bench *bench) {
    axis x, y;
    double label_x[SY_BENCH_SERIES_MAX], label_y[SY_BENCH_SERIES_MAX];
    uint32_t n_labels = 0;
    roofline_axes(bench, &x, &y);
    put_axes(out, &x, &y, "multiply-adds per byte read",
             "10^9 multiply-adds/s (line: int8 peak, dashed: f32)");
    put_roofs(out, bench, &x, &y);
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        char name[64], title[128];
        sy_bench_summary s;
        if (!is_plotted(series)) {
            continue;
        }
        sy_bench_summarise(series, &s);
        sy_bench_name(series, name, sizeof(name));
        snprintf(title, sizeof(title), "%s, threads %u: %.1f tokens/s, %.1f %% of the roofline",
                 name, series->n_threads, s.spread.most, 100.0 * s.share);
        double px = at(&x, intensity(series)), py = at(&y, s.gmac_per_s);
        put_point(out, px, py, colours[colour_of(bench, series->n_threads)], title);
        int is_free = 1; /* a label over another is of no use; tooltips have them all */
        for (uint32_t k = 0; k < n_labels; k++) {
            is_free = is_free && (fabs(px - label_x[k]) > 90.0 || fabs(py - label_y[k]) > 12.0);
        }
        if (is_free) {
            int is_right = px > x.to - 150.0;
            put_text(out, px + (is_right ? -8.0 : 8.0), py + 4.0, is_right ? "end" : "start", name);
            label_x[n_labels] = px;
            label_y[n_labels++] = py;
        }
    }
}

static void depth_axes(const sy_bench *bench, axis *x, axis *y) {
    *x = (axis){0.0, 1.0, RIGHT_PANEL, RIGHT_PANEL + PANEL_WIDTH, 0};
    *y = (axis){0.0, 1.0, PANEL_TOP + PANEL_HEIGHT, PANEL_TOP, 0};
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        sy_bench_summary s;
        if (series->kind != SY_BENCH_DECODE || series->tokens_per_s.n == 0) {
            continue;
        }
        sy_bench_summarise(series, &s);
        double most = s.spread.most > s.attainable ? s.spread.most : s.attainable;
        x->high = series->depth > x->high ? series->depth : x->high;
        y->high = most * 1.1 > y->high ? most * 1.1 : y->high;
    }
    x->high *= 1.05;
}

/* The cell with the next larger depth and otherwise the same, NULL at the end. */
static const sy_bench_series *deeper(const sy_bench *bench, const sy_bench_series *from) {
    const sy_bench_series *found = NULL;
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        if (series->kind == SY_BENCH_DECODE && series->tokens_per_s.n > 0 &&
            series->n_threads == from->n_threads && series->n_tokens == from->n_tokens &&
            series->n_sequences == from->n_sequences && series->depth > from->depth &&
            (found == NULL || series->depth < found->depth)) {
            found = series;
        }
    }
    return found;
}

static void put_depths(FILE *out, const sy_bench *bench) {
    axis x, y;
    depth_axes(bench, &x, &y);
    put_axes(out, &x, &y, "tokens that were there before",
             "decode, tokens/s (dashed: the machine's limit)");
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        char title[128], name[64], style[96];
        sy_bench_summary s, next;
        if (series->kind != SY_BENCH_DECODE || series->tokens_per_s.n == 0) {
            continue;
        }
        const char *colour = colours[colour_of(bench, series->n_threads)];
        sy_bench_summarise(series, &s);
        sy_bench_name(series, name, sizeof(name));
        snprintf(title, sizeof(title), "%s, threads %u: %.1f tokens/s", name, series->n_threads,
                 s.spread.most);
        double px = at(&x, series->depth);
        const sy_bench_series *to = deeper(bench, series);
        if (to != NULL) {
            sy_bench_summarise(to, &next);
            snprintf(style, sizeof(style), "stroke=\"%s\" stroke-width=\"2\"", colour);
            put_line(out, px, at(&y, s.spread.most), at(&x, to->depth), at(&y, next.spread.most),
                     style);
            snprintf(style, sizeof(style), "stroke=\"%s\" stroke-dasharray=\"4 3\"", colour);
            put_line(out, px, at(&y, s.attainable), at(&x, to->depth), at(&y, next.attainable),
                     style);
        }
        put_point(out, px, at(&y, s.spread.most), colour, title);
        if (series->n_sequences > 1 && to != NULL) {
            snprintf(title, sizeof(title), "%u together", series->n_sequences);
            put_text(out, px + 7.0, at(&y, s.spread.most) - 5.0, "start", title);
        }
    }
}

static void put_legend(FILE *out, const sy_bench *bench) {
    double x = LEFT_PANEL;
    for (uint32_t i = 0; i < bench->n_series; i++) {
        uint32_t n = bench->series[i].n_threads;
        char text[32];
        if (i > 0 && n == bench->series[i - 1].n_threads) {
            continue;
        }
        snprintf(text, sizeof(text), "%u thread%s", n, n == 1 ? "" : "s");
        fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x,
                HEIGHT - 24.0, colours[colour_of(bench, n)]);
        put_text(out, x + 17.0, HEIGHT - 14.0, "start", text);
        x += 110.0;
    }
}

static void put_picture(FILE *out, const sy_bench *bench) {
    const char *slash = strrchr(bench->engine.model, '/');
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
            "<text x=\"20\" y=\"30\" font-size=\"17\" font-weight=\"bold\">",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_escaped(out, slash != NULL ? slash + 1 : bench->engine.model);
    fputs("</text>\n", out);
    put_roofline(out, bench);
    put_depths(out, bench);
    put_legend(out, bench);
    fputs("</svg>\n", out);
}

static int is_png(const char *path) {
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".png") == 0;
}

int sy_bench_check_plot(const sy_bench *bench) {
    char program[4096];
    if (bench->flags.plot_path == NULL || !is_png(bench->flags.plot_path) ||
        sy_child_find(PNG_PROGRAM, program, sizeof(program))) {
        return SY_CLI_GO_ON;
    }
    sy_error error;
    sy_error_clear(&error);
    sy_error_set(&error, SY_NOT_FOUND,
                 "A PNG picture needs " PNG_PROGRAM ", which is not in PATH.");
    sy_error_hint(&error, "Install it (Debian: librsvg2-bin) or name a file that ends in .svg.");
    return sy_cli_fail(&error);
}

/* A file of its own beside the target, so that nothing of the user's is written over. */
static sy_status convert(const sy_bench *bench, const char *path, sy_error *error) {
    static sy_child child;
    char svg[4096], target[4096], program[] = PNG_PROGRAM, flag[] = "-o";
    int fd = -1;
    if (snprintf(svg, sizeof(svg), "%s.XXXXXX", path) < (int)sizeof(svg)) {
        fd = mkstemp(svg);
    }
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL) {
        return sy_error_set(error, SY_PERMISSION_DENIED, "The picture cannot be written to %s: %s.",
                            path, strerror(errno));
    }
    snprintf(target, sizeof(target), "%s", path);
    put_picture(out, bench);
    int failed = fclose(out) != 0;
    char *words[] = {program, flag, target, svg, NULL};
    sy_child_run(words, 1, &child);
    unlink(svg);
    return failed || child.exit_status != 0
               ? sy_error_set(error, SY_UNAVAILABLE, PNG_PROGRAM " did not write %s.", path)
               : SY_OK;
}

sy_status sy_bench_write_plot(const sy_bench *bench, const char *path, sy_error *error) {
    if (is_png(path)) {
        return convert(bench, path, error);
    }
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (out == NULL) {
        return sy_error_set(error, SY_PERMISSION_DENIED, "The picture cannot be written to %s: %s.",
                            path, strerror(errno));
    }
    put_picture(out, bench);
    int failed = ferror(out);
    failed = (out == stdout ? fflush(out) : fclose(out)) != 0 || failed;
    return failed ? sy_error_set(error, SY_UNAVAILABLE, "The picture was not written to %s.", path)
                  : SY_OK;
}
