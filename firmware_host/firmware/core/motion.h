/* Whether the encoders tell of a motion that a rig can make: stuck, unplugged and swapped ones do
 * not. Steps are signed counts since the tick before. */
#ifndef MOTION_H
#define MOTION_H

#include <stdint.h>

#include "wire_table.h"

struct motion_limits {
    uint16_t stuck_ticks; /* driven so long without a move of the base; a still pole */
    int32_t stuck_travel; /* counts the base travels before a still pole is stuck */
    float stuck_duty;     /* duty that must move the base, 0 to 1 */
    float telling_duty;   /* duty that outweighs the pole at the base */
    int32_t base_stop;    /* counts a tick from which nothing stops dead */
    int32_t pole_stop;    /* likewise */
    int32_t telling_jerk; /* change of the base's step that outweighs gravity at the pole */
    int8_t base_sense;    /* sign of the base's counts as a positive duty drives it */
    int8_t pole_sense;    /* sign of the hanging pole's counts as the base jerks that way */
    uint64_t pole_phase_per_count;
};

struct motion {
    int32_t base_step; /* of the last tick */
    int32_t pole_step;
    int32_t base_speed; /* of the last tick that moved, counts a tick */
    int32_t pole_speed;
    uint16_t base_still; /* ticks without a count */
    uint16_t pole_still;
    int32_t base_drift;    /* counts since the base last moved by more than one */
    uint16_t driven_still; /* ticks driven hard since then */
    float duty;            /* that held before the last tick */
    uint8_t base_answers;  /* wrong ones to the motor, right ones taken off */
    uint8_t pole_answers;  /* wrong ones to jerks of the base, likewise */
    int8_t pole_drift;     /* counts since the pole last moved by more than one */
    int32_t still_travel;  /* counts the base went meanwhile */
};

/* Forget what was. */
void motion_reset(struct motion *motion);

/* Take the steps of a tick, `periods` nominal periods after the one before, under the duty that
 * held meanwhile. `pole_count` is the new one, 0 hangs. */
enum wire_fault motion_check(struct motion *motion, const struct motion_limits *limits,
                             int32_t base_step, int32_t pole_step, int32_t pole_count,
                             uint32_t periods, float duty);

#endif
