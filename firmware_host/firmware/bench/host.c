/* `bench RUNS FILE` prints the least and the median ns of a call and the deepest stack in bytes,
 * then the actions for the observations in FILE (both plain float32). With RUNS 0 each is called
 * once and nothing is measured, for a profiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "policy.h"

#define BATCH 16 /* calls between two readings of the clock, which takes tens of ns itself */
#define PAINT 0xA5C3961E5A3C69E1U
#define PAINTED 65536 /* words of the stack */

typedef struct {
    float *observations;
    size_t count;
} inputs;

static float action[POLICY_ACTION_SIZE];

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inputs read_inputs(const char *path) {
    inputs read = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return read;
    }
    const size_t row = sizeof(float) * POLICY_OBSERVATION_SIZE;
    const long bytes = ftell(file);
    rewind(file);
    read.count = bytes > 0 ? (size_t)bytes / row : 0;
    read.observations = malloc(read.count * row + 1);
    if (read.observations == NULL ||
        fread(read.observations, row, read.count, file) != read.count) {
        read.count = 0;
    }
    fclose(file);
    return read;
}

static void act(const inputs *from, size_t index) {
    const size_t row = index % from->count;
    bench_begin((uint32_t)row);
    policy_act(from->observations + row * POLICY_OBSERVATION_SIZE, action);
}

static double time_batch(const inputs *from, size_t first) {
    const double start = now_ns();
    for (size_t i = 0; i < BATCH; i++) {
        act(from, first + i);
    }
    return (now_ns() - start) / BATCH;
}

/* Paints the stack below the caller, or tells to which depth the paint is gone: its frame lies
 * where that of policy_act did. */
static __attribute__((noinline)) size_t walk_stack(int paint) {
    volatile uint64_t area[PAINTED];
    size_t word = 0;
    while (word < PAINTED && (paint || area[word] == PAINT)) {
        area[word++] = PAINT;
    }
    return (PAINTED - word) * sizeof area[0];
}

static __attribute__((noinline)) size_t stack_of(const inputs *from, size_t index) {
    walk_stack(1);
    act(from, index);
    return walk_stack(0);
}

int main(int count, char **arguments) {
    const long runs = count == 3 ? strtol(arguments[1], NULL, 10) : -1;
    if (runs < 0 || runs > 100000000) {
        fputs("usage: bench RUNS FILE\n", stderr);
        return 2;
    }
    const inputs from = read_inputs(arguments[2]);
    const size_t batches = ((size_t)runs + BATCH - 1) / BATCH;
    double *times = calloc(batches + 1, sizeof *times);
    if (times == NULL || from.count == 0) {
        return 1;
    }
    for (size_t i = 0; i < batches; i++) {
        times[i] = time_batch(&from, i * BATCH);
    }
    qsort(times, batches, sizeof *times, ascending);
    size_t stack = 0;
    for (size_t i = 0; runs > 0 && i < from.count; i++) {
        const size_t found = stack_of(&from, i);
        stack = found > stack ? found : stack;
    }
    printf("%.3f %.3f %zu\n", times[0], times[batches / 2], stack);
    for (size_t i = 0; i < from.count; i++) {
        act(&from, i);
        fwrite(action, sizeof(float), POLICY_ACTION_SIZE, stdout);
    }
    free(times);
    free(from.observations);
    return 0;
}
