/* The safety states: who may drive the motor, and what stops it. Knows no policy and no board.
 *
 *   BOOT → SAFE → HOMING → HOMED → ARMED → ACTIVE → STOPPING → HOMED
 *                                                 ↘ FAULT, latched until disarm or home
 *
 * All times are in control ticks, all distances in encoder counts, so that every check is exact. */
#ifndef SAFETY_H
#define SAFETY_H

#include <stdbool.h>
#include <stdint.h>

#include "motion.h"
#include "wire_table.h"

struct safety_limits {
    int32_t base_travel;     /* counts from home at which ARMED and ACTIVE fault */
    int32_t base_step;       /* counts a tick, likewise */
    int32_t pole_step;       /* counts a tick, likewise */
    uint32_t still_ticks;    /* ticks that both encoders stay within a count: home */
    uint32_t homing_ticks;   /* without: HOMING_TIMEOUT */
    uint32_t rest_ticks;     /* ticks that the base stays within a count: stopped */
    uint32_t stopping_ticks; /* longest STOPPING */
    uint16_t link_ticks;     /* silence of the host that faults ARMED and ACTIVE, until CONFIG */
    uint32_t overrun_ticks;  /* periods between two ticks that fault them */
    int32_t current_ma;      /* motor current that faults when it lasts */
    float max_duty;          /* clamp, 0 to 1 */
    struct motion_limits motion;
};

struct safety {
    const struct safety_limits *limits;
    enum wire_state state;
    enum wire_fault fault;
    uint32_t state_ticks;  /* in this state */
    uint32_t silent_ticks; /* run since the host was last heard */
    uint16_t link_ticks;   /* limit at which they fault */
    bool commanded;        /* host mode: commands must be fresh */
    uint8_t command_life;  /* ticks that the last command may be old */
    uint32_t command_age;  /* ticks since the one it was for */
    uint32_t still_ticks;  /* encoders within a count of the anchor */
    int32_t base_anchor;
    int32_t pole_anchor;
    int32_t base_zero; /* raw counts at home */
    int32_t pole_zero;
    int32_t base_count; /* of the last tick, from home */
    int32_t pole_count;
    bool home_known;      /* in FAULT: the host caused it, so the encoders are not in doubt */
    bool sampled;         /* base_count and pole_count are of this run */
    uint8_t over_current; /* ticks in a row */
    float duty;           /* applied at the last tick */
    struct motion motion;
};

/* Start in BOOT. */
void safety_init(struct safety *safety, const struct safety_limits *limits);

/* Leave BOOT for SAFE, or for FAULT when the watchdog had to restart the board. */
void safety_start(struct safety *safety, bool watchdog_fired);

/* Requests of the host. False: not in this state, and nothing has changed. */
bool safety_home(struct safety *safety);
bool safety_arm(struct safety *safety);
void safety_disarm(struct safety *safety);
void safety_estop(struct safety *safety);

/* The clock of the ticks cannot be trusted: FAULT from any state; an older fault stays. */
void safety_clock(struct safety *safety);

/* A limit switch is open: FAULT in ARMED and ACTIVE. */
void safety_limit_switch(struct safety *safety);

/* The encoders' counts are no longer true: FAULT in the states that rely on them. */
void safety_lost_edges(struct safety *safety);

/* True if nothing moves and settings may change: not ARMED, ACTIVE or STOPPING. */
bool safety_idle(const struct safety *safety);

/* The encoders change from now on: forget home. Only while safety_idle(). FAULT stays. */
void safety_forget_home(struct safety *safety);

/* A good frame has arrived from the host. */
void safety_heard(struct safety *safety);

/* A command of the host's policy has arrived, `age` ticks after the tick that it is for, and is
 * valid for `life` ticks. False: it has expired, or is not newer than the last one. */
bool safety_command(struct safety *safety, uint32_t age, uint8_t life);

/* The first half of a tick: check the motor's current and raw counts, `periods` nominal periods
 * after the last tick. After it, base_count and pole_count are relative to home. True when home has
 * just been found, so that older counts mean nothing. INT32_MIN is an unknown current. */
bool safety_sample(struct safety *safety, int32_t base_raw, int32_t pole_raw, int32_t current_ma,
                   uint32_t periods);

/* The second half of a tick: the duty that may be applied, given the policy's output and a kick to
 * add to it. 0 unless ACTIVE; an output that is not finite gives FAULT and 0. */
float safety_drive(struct safety *safety, float output, float kick);

/* Neither NaN nor infinite, without libm. */
bool safety_is_finite(float value);

#endif
