/* Times the policy on the host: `bench RUNS` prints the least and the median ns of a call and the
 * largest error over the golden vectors. RUNS 0 calls the policy once a vector, for a profiler. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy.h"
#include "policy_vectors.h"

#define BATCH 16 /* calls between two readings of the clock, which takes tens of ns itself */

static float action[POLICY_ACTION_SIZE];

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double largest_error(void) {
    double largest = 0.0;
    for (size_t v = 0; v < POLICY_VECTOR_COUNT; v++) {
        policy_act(policy_vector_observation[v], action);
        for (size_t i = 0; i < POLICY_ACTION_SIZE; i++) {
            const double error = fabs((double)action[i] - (double)policy_vector_action[v][i]);
            if (!(error <= largest)) { /* so that NaN is the largest */
                largest = error;
            }
        }
    }
    return largest;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_batch(size_t first) {
    const double start = now_ns();
    for (size_t i = 0; i < BATCH; i++) {
        policy_act(policy_vector_observation[(first + i) % POLICY_VECTOR_COUNT], action);
    }
    return (now_ns() - start) / BATCH;
}

int main(int count, char **arguments) {
    const long runs = count == 2 ? strtol(arguments[1], NULL, 10) : -1;
    if (runs < 0 || runs > 100000000) {
        fputs("usage: bench RUNS\n", stderr);
        return 2;
    }
    const double error = largest_error();
    const size_t batches = ((size_t)runs + BATCH - 1) / BATCH;
    double *times = calloc(batches + 1, sizeof *times);
    if (times == NULL) {
        return 1;
    }
    for (size_t i = 0; i < batches; i++) {
        times[i] = time_batch(i);
    }
    qsort(times, batches, sizeof *times, ascending);
    printf("%.3f %.3f %.9g %d\n", times[0], times[batches / 2], error, (int)POLICY_VECTOR_COUNT);
    free(times);
    return 0;
}
