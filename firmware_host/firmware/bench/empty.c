/* The policy that costs nothing. */
#include "policy.h"

void policy_act(const float observation[POLICY_OBSERVATION_SIZE],
                float action[POLICY_ACTION_SIZE]) {
    (void)observation;
    (void)action;
}

#ifdef POLICY_STATE_SIZE
void policy_reset(void) {
}
#endif
