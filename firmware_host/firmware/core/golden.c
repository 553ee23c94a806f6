#include "golden.h"

#include "firmware_config.h"
#include "policy.h"
#include "policy_vectors.h"
#include "port.h"
#include "timer.h"

#define CALLS 8 /* the least of so many is free of interrupts and cold caches */

uint16_t golden_count(void) {
    return (uint16_t)POLICY_VECTOR_COUNT;
}

bool golden_replay(uint16_t index, struct golden_result *result) {
    float action[POLICY_ACTION_SIZE];
    if (index >= POLICY_VECTOR_COUNT) {
        return false;
    }
    result->least_ns = UINT32_MAX;
    for (int i = 0; i < CALLS; i++) {
        const uint32_t start = port_timer();
        policy_act(policy_vector_observation[index], action);
        const uint32_t ns = timer_ns(port_timer() - start);
        if (ns < result->least_ns) {
            result->least_ns = ns;
        }
    }
    result->action = action[0];
    result->max_error = 0.0f;
    for (int i = 0; i < POLICY_ACTION_SIZE; i++) {
        const float error = action[i] - policy_vector_action[index][i];
        const float magnitude = error < 0.0f ? -error : error;
        if (!(magnitude <= result->max_error)) { /* so that NaN is the largest */
            result->max_error = magnitude;
        }
    }
    return true;
}
