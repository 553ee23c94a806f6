/* Takes observations and gives actions, so that the host can compare and count; what a core adds
 * to this with an empty policy is what the policy's flash and RAM are counted over. */
#include "bench.h"

#include "policy.h"

float bench_observation[POLICY_OBSERVATION_SIZE];
float bench_action[POLICY_ACTION_SIZE];

int main(void) {
    for (uint32_t call = 0;; call++) {
        bench_begin(call);
        bench_receive(bench_observation, sizeof bench_observation);
        bench_call(bench_observation, bench_action);
        bench_send(bench_action, sizeof bench_action);
    }
}
