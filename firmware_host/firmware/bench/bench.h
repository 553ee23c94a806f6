/* What the bench program needs of a core, beside policy.h. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "policy.h"

/* Fills `bytes`; ends the program where there is no more. */
void bench_receive(void *bytes, size_t count);
void bench_send(const void *bytes, size_t count);
/* Calls policy_act once, and sends what the core itself counts of that call, if it counts. */
void bench_call(const float *observation, float *action);

/* Before call number `call`: a recurrent policy's state is reset every BENCH_SEQUENCE calls, as
 * golden vectors have it. */
static inline void bench_begin(uint32_t call) {
#ifdef POLICY_STATE_SIZE
    if (call % BENCH_SEQUENCE == 0) {
        policy_reset();
    }
#else
    (void)call;
#endif
}

#endif
