#include "golden.h"

#include "firmware_config.h"
#include "policy.h"
#include "policy_vectors.h"
#include "port.h"
#include "timer.h"

#define CALLS 8 /* the least of so many is free of interrupts and cold caches */

#ifndef POLICY_READ_FLOAT /* a policy.h by hand, for cores whose flash is memory */
#define POLICY_READ_FLOAT(p) (*(p))
#endif

uint16_t golden_count(void) {
    return (uint16_t)POLICY_VECTOR_COUNT;
}

bool golden_replay(uint16_t index, struct golden_result *result) {
    float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    if (index >= POLICY_VECTOR_COUNT) {
        return false;
    }
    for (int i = 0; i < POLICY_OBSERVATION_SIZE; i++) {
        observation[i] = POLICY_READ_FLOAT(&policy_vector_observation[index][i]);
    }
    result->least_ns = UINT32_MAX;
    for (int i = 0; i < CALLS; i++) {
        const uint32_t start = port_timer();
        policy_act(observation, action);
        const uint32_t ns = timer_ns(port_timer() - start);
        if (ns < result->least_ns) {
            result->least_ns = ns;
        }
        port_watchdog(); /* so many calls may take longer than its patience; the motor is off */
    }
    result->action = action[0];
    result->max_error = 0.0f;
    for (int i = 0; i < POLICY_ACTION_SIZE; i++) {
        const float error = action[i] - POLICY_READ_FLOAT(&policy_vector_action[index][i]);
        const float magnitude = error < 0.0f ? -error : error;
        if (!(magnitude <= result->max_error)) { /* so that NaN is the largest */
            result->max_error = magnitude;
        }
    }
    return true;
}
