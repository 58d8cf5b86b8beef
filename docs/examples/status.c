/* SPDX-License-Identifier: Apache-2.0 */
/* How a call fails: a status decides what to do, an error says it in words. */
#include <switchyard/status.h>

#include <stdio.h>

static sy_status open_model(const char *path, sy_error *error) {
    sy_error_set(error, SY_DATA_LOSS, "The tensor table ends in the middle of an entry.");
    sy_error_at(error, path, 4096);
    sy_error_hint(error, "Fetch the file again; it is shorter than it says.");
    return SY_DATA_LOSS;
}

int main(void) {
    sy_error error; /* yours, of fixed size: reporting never needs memory */
    sy_error_clear(&error);
    sy_status status = open_model("model.gguf", &error);

    char line[512];
    sy_error_format(&error, line, sizeof(line));
    printf("%s (%s)\n", line, sy_status_name(status));

    switch (SY_STATUS_CLASS(status)) { /* the class decides, the detail only explains */
    case SY_RESOURCE_EXHAUSTED:
        printf("free memory and try again\n");
        return 1;
    case SY_DATA_LOSS:
        printf("throw the file away\n");
        return 0;
    default:
        return 1;
    }
}
