/* The duty that a policy's action asks for. */
#ifndef CHOICE_H
#define CHOICE_H

#include <stdint.h>

#include "firmware_config.h"

#define CHOICE_NONE (0.0f / 0.0f) /* NaN, without a library's header */

/* Return the action itself or, on a rig whose policies choose among duties, the duty with that
 * index. If there is none, return NaN, which faults. */
static inline float choice_duty(float action) {
#ifdef RIG_DUTIES
    static const float duties[RIG_DUTY_COUNT] = RIG_DUTIES;
    if (!(action >= 0.0f && action < (float)RIG_DUTY_COUNT)) {
        return CHOICE_NONE;
    }
    const uint8_t index = (uint8_t)action;
    return (float)index == action ? duties[index] : CHOICE_NONE;
#else
    return action;
#endif
}

#endif
