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

static void read_observation(uint16_t index, float observation[POLICY_OBSERVATION_SIZE]) {
    for (int i = 0; i < POLICY_OBSERVATION_SIZE; i++) {
        observation[i] = POLICY_READ_FLOAT(&policy_vector_observation[index][i]);
    }
}

#ifdef POLICY_STATE_SIZE
/* The state before vector `index`: that after those of its sequence that come before it, so that
 * the vectors may be asked for in any order. */
static void lead_in(uint16_t index, struct policy_state *state) {
    float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    policy_reset_with(state);
    for (uint16_t i = (uint16_t)(index - index % POLICY_VECTOR_SEQUENCE); i < index; i++) {
        read_observation(i, observation);
        policy_act_with(state, observation, action);
        port_watchdog();
    }
}
#endif

uint16_t golden_count(void) {
    return (uint16_t)POLICY_VECTOR_COUNT;
}

bool golden_replay(uint16_t index, struct golden_result *result) {
    float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    if (index >= POLICY_VECTOR_COUNT) {
        return false;
    }
#ifdef POLICY_STATE_SIZE
    struct policy_state before;
    lead_in(index, &before);
#endif
    read_observation(index, observation);
    result->least_ns = UINT32_MAX;
    for (int i = 0; i < CALLS; i++) {
#ifdef POLICY_STATE_SIZE
        struct policy_state state = before;
        const uint32_t start = port_timer();
        policy_act_with(&state, observation, action);
#else
        const uint32_t start = port_timer();
        policy_act(observation, action);
#endif
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
