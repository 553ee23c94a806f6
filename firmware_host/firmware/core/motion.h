/* Whether the encoders report a motion that a rig can make, which stuck, unplugged and swapped ones
 * do not. Steps are signed counts since the last tick. */
#ifndef MOTION_H
#define MOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "wire_table.h"

/* By how much a swinging pole can drag the base, in counts a tick squared: sine * (turn * pole^2 +
 * cosine * (fall + spin * base^2 + twist * base * pole)) / (1 - coupled * cosine^2 + level *
 * sine^2), where base and pole are their speeds in counts a tick. */
struct pole_pull {
    float turn;
    float fall;
    float spin;
    float twist;
    float coupled;
    float level;
};

struct motion_limits {
    uint16_t stuck_ticks; /* ticks of drive without motion of the base; ticks of a still pole */
    int32_t stuck_travel; /* counts the base travels before a still pole is stuck */
    float stuck_duty;     /* duty that must move the base, 0 to 1 */
    float telling_duty;   /* duty that outweighs dead zone and friction */
    int32_t base_stop;    /* counts a tick from which no axis stops at once */
    int32_t pole_stop;    /* likewise */
    int32_t telling_jerk; /* change of the base's step that outweighs gravity at the pole */
    int8_t base_sense;    /* sign of the base's counts as a positive duty drives it */
    int8_t pole_sense;    /* sign of the hanging pole's counts as the base jerks that way */
    uint64_t pole_phase_per_count;
    float base_push; /* counts a tick squared that duty 1 gives the base at least */
    struct pole_pull pull;
    float count_travel; /* counts that the base leaves its straight path, at most, to turn the pole
                           by one count */
    float gravity;      /* g at the hinge as a jerk of the base, in counts a tick squared */
    float whirl;        /* of an arm: as much per count a tick squared of its speed, pole level */
};

/* What the base did while the pole's count stood still, as far as it should have turned the pole:
 * the speeds of the pole at the beginning that explain it, in base counts a tick. */
struct stillness {
    uint8_t ticks;     /* since it was last begun */
    int8_t pole_start; /* drift of the pole's count then */
    int32_t travel;    /* of the base since then */
    float slowest;
    float fastest;
};

/* What base and pole gained while the base was accelerated one way. */
struct answer {
    int8_t way;          /* in which the pole has to turn; 0: no sum has begun */
    float driven;        /* counts a tick that the base gained, less what gravity may hide */
    int32_t turned;      /* counts a tick that the pole gained that way */
    uint16_t base_start; /* speeds when the sum began */
    uint16_t pole_start;
};

struct motion {
    int32_t base_step; /* of the last tick */
    int32_t pole_step;
    int32_t base_speed; /* of the last tick that moved, counts a tick */
    int32_t pole_speed;
    uint16_t base_still;   /* ticks without a step of more than one count */
    uint16_t pole_still;   /* likewise */
    int8_t base_drift;     /* counts since the base last moved by more than one */
    uint16_t driven_still; /* ticks driven hard since then */
    uint16_t base_rest;    /* all ticks since then */
    bool held : 1;         /* by its pole, at one of them, maybe */
    bool after_gap : 1;    /* the last step took more than one period */
    uint8_t unexplained;   /* stretches since the pole last moved that no speed explains */
    float duty;            /* that held before the last tick */
    float duty_before;     /* and the one before it */
    int32_t gained;        /* counts a tick: of a base driven against its motion, since when it was
                              last judged */
    float owed;            /* what it should have gained meanwhile, at least */
    uint8_t base_answers;  /* wrong responses to the motor, less the right ones */
    int8_t pole_answers;   /* right responses to jerks of the base, less the wrong ones, until
                              either are enough */
    struct answer answer;
    int8_t pole_drift;    /* counts since the pole last moved by more than one */
    uint16_t pole_rest;   /* ticks since then */
    int32_t still_travel; /* counts that the base travelled meanwhile */
    struct stillness stillness;
};

/* Begin anew, as if nothing had moved yet. */
void motion_reset(struct motion *motion);

/* Take the steps of a tick, `periods` nominal periods after the last one, under the duty applied
 * meanwhile. `pole_count` is the new count; 0 is hanging. */
enum wire_fault motion_check(struct motion *motion, const struct motion_limits *limits,
                             int32_t base_step, int32_t pole_step, int32_t pole_count,
                             uint32_t periods, float duty);

#endif
