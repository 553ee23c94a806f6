/* simavr's side of the line: GPIOR1 gives a byte when read, GPIOR2 takes one when written. */
#include <avr/io.h>

#include "bench.h"
#include "policy.h"

void bench_receive(void *bytes, size_t count) {
    unsigned char *const to = bytes;
    for (size_t i = 0; i < count; i++) {
        to[i] = GPIOR1;
    }
}

void bench_send(const void *bytes, size_t count) {
    const unsigned char *const from = bytes;
    for (size_t i = 0; i < count; i++) {
        GPIOR2 = from[i];
    }
}

void bench_call(const float *observation, float *action) {
    policy_act(observation, action);
}
