/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The explanation as a picture: one row a phase, one lane a delegate, a box a segment. The x axis
 * is predicted time of a step, so that a wide box is where time goes; a tooltip names its nodes.
 */
#include "base/text.h"
#include "plan/plan_internal.h"

#include <inttypes.h>

#define WIDTH 1200.0
#define LEFT 190.0
#define TOP 96.0
#define LANE 30.0
#define PHASE_GAP 64.0

static const char *const colours[] = {"#4c78a8", "#f58518", "#54a24b", "#b279a2",
                                      "#e45756", "#72b7b2", "#eeca3b", "#9d755d"};
#define N_COLOURS (sizeof(colours) / sizeof(colours[0]))

static void write_escaped(sy__text *text, const char *string) {
    for (; *string != '\0'; string++) {
        switch (*string) {
        case '<':
            sy__text_puts(text, "&lt;");
            break;
        case '>':
            sy__text_puts(text, "&gt;");
            break;
        case '&':
            sy__text_puts(text, "&amp;");
            break;
        case '"':
            sy__text_puts(text, "&quot;");
            break;
        default:
            if ((unsigned char)*string >= 0x20) { /* other control bytes are not allowed in XML */
                sy__text_append(text, string, 1);
            }
        }
    }
}

/* Lanes are delegates that run something; answers the lane's number or SY__NONE. */
static uint32_t lane_of(const sy_plan *plan, uint32_t i_delegate) {
    uint32_t lane = 0;
    for (uint32_t d = 0; d < i_delegate; d++) {
        lane += plan->delegates[d].n_nodes_run > 0;
    }
    return plan->delegates[i_delegate].n_nodes_run > 0 ? lane : SY__NONE;
}

static uint32_t count_lanes(const sy_plan *plan) {
    uint32_t n = 0;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        n += plan->delegates[d].n_nodes_run > 0;
    }
    return n;
}

static void write_tooltip(const sy_plan *plan, const sy_plan_segment *planned, uint32_t i_segment,
                          sy__text *text) {
    sy__text_printf(text, "<title>segment %" PRIu32 " on ", i_segment);
    write_escaped(text, plan->delegates[planned->i_delegate].delegate->name);
    sy__text_printf(text, ": %" PRIu32 " nodes, %.1f us\n", planned->segment.n_nodes,
                    planned->predicted_us);
    for (uint32_t k = 0; k < planned->segment.n_nodes && k < 24; k++) {
        sy_node_view node = sy__plan_node_view(plan, planned->segment.nodes[k]);
        sy__text_printf(text, "%" PRIu32 " ", planned->segment.nodes[k]);
        write_escaped(text, node.name);
        sy__text_puts(text, " (");
        write_escaped(text, node.op);
        sy__text_puts(text, ")\n");
    }
    if (planned->segment.n_nodes > 24) {
        sy__text_puts(text, "...");
    }
    sy__text_puts(text, "</title>");
}

static void write_segment(const sy_plan *plan, const sy_plan_segment *planned, uint32_t i_segment,
                          double x, double width, double y, sy__text *text) {
    uint32_t lane = lane_of(plan, planned->i_delegate);
    sy__text_printf(text,
                    "<g><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" "
                    "fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"0.5\"/>",
                    x, y + (double)lane * LANE + 3.0, width, LANE - 6.0, colours[lane % N_COLOURS]);
    write_tooltip(plan, planned, i_segment, text);
    if (width > 34.0) {
        sy__text_printf(text,
                        "<text x=\"%.2f\" y=\"%.1f\" font-size=\"11\" fill=\"#ffffff\" "
                        "text-anchor=\"middle\">%" PRIu32 "</text>",
                        x + width / 2.0, y + (double)lane * LANE + 19.0, planned->segment.n_nodes);
    }
    sy__text_puts(text, "</g>\n");
}

static void write_lanes(const sy_plan *plan, double y, sy__text *text) {
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        uint32_t lane = lane_of(plan, d);
        if (lane == SY__NONE) {
            continue;
        }
        double top = y + (double)lane * LANE;
        sy__text_printf(text,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                        "fill=\"%s\"/>\n<text x=\"%.1f\" y=\"%.1f\" font-size=\"12\" "
                        "text-anchor=\"end\">",
                        LEFT, top, WIDTH - LEFT - 20.0, LANE,
                        lane % 2u == 0 ? "#f4f4f4" : "#ececec", LEFT - 8.0, top + 19.0);
        write_escaped(text, plan->delegates[d].delegate->name);
        sy__text_puts(text, "</text>\n");
    }
}

static void write_axis(double y, double scale, double total_us, sy__text *text) {
    double step = 1.0;
    while (total_us / step > 10.0) {
        step *= total_us / step > 50.0 ? 10.0 : total_us / step > 20.0 ? 5.0 : 2.0;
    }
    for (double at = 0.0; at <= total_us * 1.0001; at += step) {
        double x = LEFT + at * scale;
        sy__text_printf(text,
                        "<path d=\"M%.1f %.1fv6\" stroke=\"#888888\"/><text x=\"%.1f\" "
                        "y=\"%.1f\" font-size=\"10\" fill=\"#666666\" text-anchor=\"middle\">%g"
                        "</text>\n",
                        x, y, x, y + 17.0, at);
    }
}

static void write_phase(const sy_plan *plan, const sy__phase_plan *phase, double y,
                        sy__text *text) {
    double total_us = phase->compute_us + phase->launch_us;
    double scale = total_us > 0.0 ? (WIDTH - LEFT - 20.0) / total_us : 0.0, x = LEFT;
    sy__text_printf(text,
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"14\" font-weight=\"bold\">%s: "
                    "%.1f us a step</text>\n",
                    LEFT, y - 10.0, sy__phase_name(phase->phase.phase),
                    total_us + phase->transfer_us);
    sy__text_printf(text,
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\" text-anchor=\"end\" "
                    "fill=\"#666666\">compute %.1f, launches %.1f, transfers %.1f us; %" PRIu32
                    " segments; box: nodes, width: us</text>\n",
                    WIDTH - 20.0, y - 10.0, phase->compute_us, phase->launch_us, phase->transfer_us,
                    phase->n_segments);
    write_lanes(plan, y, text);
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        double width = phase->segments[s].predicted_us * scale;
        write_segment(plan, &phase->segments[s], s, x, width > 0.3 ? width : 0.3, y, text);
        x += width;
    }
    write_axis(y + (double)count_lanes(plan) * LANE, scale, total_us, text);
}

static void write_legend(const sy_plan *plan, sy__text *text) {
    double x = LEFT;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        uint32_t lane = lane_of(plan, d);
        if (lane == SY__NONE) {
            continue;
        }
        sy__text_printf(text,
                        "<rect x=\"%.1f\" y=\"40\" width=\"12\" height=\"12\" fill=\"%s\"/>"
                        "<text x=\"%.1f\" y=\"50\" font-size=\"12\">",
                        x, colours[lane % N_COLOURS], x + 17.0);
        write_escaped(text, plan->delegates[d].delegate->name);
        sy__text_printf(text, " (%" PRIu32 " nodes)</text>\n", plan->delegates[d].n_nodes_run);
        x += 230.0;
    }
}

void sy__explain_svg(const sy_plan *plan, sy__text *text) {
    double lanes = (double)count_lanes(plan) * LANE;
    double height = TOP + (double)plan->n_phases * (lanes + PHASE_GAP);
    sy__text_printf(text,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
                    "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\">\n"
                    "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
                    "<text x=\"20\" y=\"26\" font-size=\"17\" font-weight=\"bold\">plan of ",
                    WIDTH, height, WIDTH, height);
    write_escaped(text, sy_graph_name(plan->graph));
    sy__text_printf(text, ": %" PRIu32 " nodes, hash %016" PRIx64 "</text>\n", plan->n_nodes,
                    plan->hash);
    write_legend(plan, text);
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        write_phase(plan, &plan->phases[p], TOP + (double)p * (lanes + PHASE_GAP), text);
    }
    sy__text_puts(text, "</svg>\n");
}
