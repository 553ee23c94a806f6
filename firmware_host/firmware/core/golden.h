/* The golden vectors that came with the policy, and the policy called on them. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdbool.h>
#include <stdint.h>

struct golden_result {
    float action;      /* the first action */
    float max_error;   /* largest |action - golden action| */
    uint32_t least_ns; /* of several calls */
};

uint16_t golden_count(void);

/* Replay vector `index`; false when there is none. */
bool golden_replay(uint16_t index, struct golden_result *result);

#endif
