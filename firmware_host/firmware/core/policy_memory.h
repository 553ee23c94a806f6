/* What a recurrent policy remembers from control tick to control tick, and the one rule of when it
 * begins anew. The board and the host's library keep to it alike. A policy without a state has none
 * of this: its policy.h defines no POLICY_STATE_SIZE. */
#ifndef POLICY_MEMORY_H
#define POLICY_MEMORY_H

#include "policy.h"

#ifdef POLICY_STATE_SIZE

#include <stdbool.h>

#include "choice.h"
#include "finite.h"

/* Start from zero bits: the first call begins anew. */
struct policy_memory {
    struct policy_state state;
    bool is_kept; /* the state is that after the call before, and sound */
};

/* Before each call. `follows`: the call before was for the control tick just before this one, with
 * the same zero of the encoders, and the policy has not just taken over the motor. */
static inline void policy_memory_begin(struct policy_memory *memory, bool follows) {
    if (!follows || !memory->is_kept) {
        policy_reset_with(&memory->state);
    }
}

/* After each call: the duty that `action` asks for. NaN, which faults, where the state is not
 * finite, so that an output always tells; the next call begins anew then. */
static inline float policy_memory_duty(struct policy_memory *memory, float action) {
    float duty = choice_duty(action);
#ifndef POLICY_STATE_IS_WHOLE /* then the action is NaN where the state is spoiled */
    for (unsigned i = 0; i < POLICY_STATE_SIZE; i++) {
        duty = is_finite(memory->state.values[i]) ? duty : CHOICE_NONE;
    }
#endif
    memory->is_kept = is_finite(duty);
    return duty;
}

#endif
#endif
