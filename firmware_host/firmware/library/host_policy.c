/* A policy as a shared library: from encoder counts to output, as a board computes it, bit for bit.
 * The host runs it where the policy is the host's part. */
#include <string.h>

#include "choice.h"
#include "firmware_config.h"
#include "golden.h"
#include "observation.h"
#include "policy.h"
#include "policy_memory.h"
#include "port.h"

struct host_policy {
    struct observation observation;
#ifdef POLICY_STATE_SIZE
    struct policy_memory memory;
#endif
    float history[POLICY_OBSERVATION_SIZE];
};

static const struct observation_scale SCALE = {
    .base_unit_per_count = RIG_BASE_UNIT_PER_COUNT,
    .base_speed_per_count = RIG_BASE_SPEED_PER_COUNT,
    .pole_speed_per_count = RIG_POLE_SPEED_PER_COUNT,
    .pole_phase_per_count = RIG_POLE_PHASE_PER_COUNT,
};

const char *host_policy_digest(void) {
    return POLICY_DIGEST;
}

/* Bytes of a struct host_policy. */
size_t host_policy_size(void) {
    return sizeof(struct host_policy);
}

/* Start with an empty history. */
void host_policy_init(struct host_policy *policy) {
    memset(policy, 0, sizeof *policy);
    observation_init(&policy->observation, &SCALE, policy->history, POLICY_FRAMES);
}

/* Forget the history: the next counts fill it. */
void host_policy_reset(struct host_policy *policy) {
    observation_reset(&policy->observation);
}

/* The policy takes over the motor: a recurrent one begins anew, and keeps its history. */
void host_policy_begin(struct host_policy *policy) {
#ifdef POLICY_STATE_SIZE
    policy->memory.is_kept = false;
#else
    (void)policy;
#endif
}

/* The output for these counts, `periods` nominal periods after the ones before, and the policy's
 * time in ns: what COMMAND brings to the board, a duty. */
float host_policy_act(struct host_policy *policy, int32_t base_count, int32_t pole_count,
                      uint32_t periods, uint32_t *inference_ns) {
    float action[POLICY_ACTION_SIZE];
#ifdef POLICY_STATE_SIZE
    policy_memory_begin(&policy->memory, policy->observation.primed && periods == 1);
#endif
    observation_push(&policy->observation, base_count, pole_count, periods);
    const uint32_t start = port_timer();
#ifdef POLICY_STATE_SIZE
    policy_act_with(&policy->memory.state, policy->history, action);
    *inference_ns = port_timer() - start;
    return policy_memory_duty(&policy->memory, action[0]);
#else
    policy_act(policy->history, action);
    *inference_ns = port_timer() - start;
    return choice_duty(action[0]);
#endif
}

/* The largest error over the golden vectors; 0 where every bit is right. */
float host_policy_error(void) {
    struct golden_result result;
    float largest = 0.0f;
    for (uint16_t i = 0; golden_replay(i, &result); i++) {
        if (!(result.max_error <= largest)) { /* so that NaN is the largest */
            largest = result.max_error;
        }
    }
    return largest;
}
