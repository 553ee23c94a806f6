/* Whether the encoders tell of a motion that a rig can make: stuck, unplugged and swapped ones do
 * not. Steps are signed counts since the tick before. */
#ifndef MOTION_H
#define MOTION_H

#include <stdint.h>

#include "wire_table.h"

struct motion_limits {
    uint16_t stuck_ticks;    /* driven, or under way, for so long without a count */
    int32_t stuck_travel;    /* counts the base travels before a still pole is stuck */
    float stuck_duty;        /* duty that must move the base, 0 to 1 */
    int32_t base_stop;       /* counts a tick from which nothing stops dead */
    int32_t pole_stop;       /* likewise */
    uint16_t reversed_ticks; /* against the motor for so long, and not slowing down */
    int32_t telling_jerk;    /* change of the base's step that outweighs gravity at the pole */
    int8_t pole_sense;       /* sign of the hanging pole's answer to a positive one */
    uint64_t pole_phase_per_count;
};

struct motion {
    int32_t base_step; /* of the last tick */
    int32_t pole_step;
    int32_t base_speed; /* of the last tick that moved, counts a tick */
    int32_t pole_speed;
    uint16_t base_still; /* ticks without a count */
    uint16_t pole_still;
    uint16_t driven_still; /* ticks driven hard without a base count */
    uint16_t against;      /* ticks of going against the motor */
    uint8_t wrong_answers; /* of the pole to jerks of the base, right ones taken off */
    int32_t still_travel;  /* counts the base went while the pole stood */
};

/* Forget what was. */
void motion_reset(struct motion *motion);

/* Take the steps of a tick, `periods` nominal periods after the one before, under the duty that
 * held meanwhile. `pole_count` is the new one, 0 hangs. */
enum wire_fault motion_check(struct motion *motion, const struct motion_limits *limits,
                             int32_t base_step, int32_t pole_step, int32_t pole_count,
                             uint32_t periods, float duty);

#endif
