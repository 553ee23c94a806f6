#include "safety.h"

#include <string.h>

#include "finite.h"

#define DITHER 1u             /* counts by which an encoder at rest may flicker */
#define OVER_CURRENT_TICKS 2u /* a single one may be the inrush of a reversing motor */
#define NEVER 0x7FFFFFFFu     /* age of a command that has never arrived */

static void enter(struct safety *safety, enum wire_state state) {
    safety->state = state;
    safety->fault = WIRE_FAULT_NONE;
    safety->state_ticks = 0;
    safety->still_ticks = 0;
    safety->base_anchor = safety->base_count;
    safety->pole_anchor = safety->pole_count;
    safety->over_current = 0;
    motion_reset(&safety->motion);
    if (state != WIRE_STATE_ACTIVE) {
        safety->duty = 0.0f;
    }
}

static void fail(struct safety *safety, enum wire_fault fault) {
    enter(safety, WIRE_STATE_FAULT);
    safety->fault = fault;
    safety->home_known = fault == WIRE_FAULT_LINK_LOST || fault == WIRE_FAULT_COMMAND_LATE;
}

static uint32_t distance(int32_t a, int32_t b) {
    return a > b ? (uint32_t)a - (uint32_t)b : (uint32_t)b - (uint32_t)a;
}

static int32_t minus(int32_t a, int32_t b) {
    const uint32_t wrapped = (uint32_t)a - (uint32_t)b;
    int32_t result;
    memcpy(&result, &wrapped, sizeof result);
    return result;
}

bool safety_is_finite(float value) {
    return is_finite(value);
}

void safety_init(struct safety *safety, const struct safety_limits *limits) {
    memset(safety, 0, sizeof *safety);
    safety->limits = limits;
    safety->state = WIRE_STATE_BOOT;
    safety->fault = WIRE_FAULT_NONE;
    safety->link_ticks = limits->link_ticks;
    safety->command_age = NEVER;
}

void safety_start(struct safety *safety, bool watchdog_fired) {
    if (safety->state != WIRE_STATE_BOOT) {
        return;
    }
    if (watchdog_fired) {
        fail(safety, WIRE_FAULT_WATCHDOG);
    } else {
        enter(safety, WIRE_STATE_SAFE);
    }
}

bool safety_home(struct safety *safety) {
    switch (safety->state) {
    case WIRE_STATE_SAFE:
    case WIRE_STATE_HOMED:
    case WIRE_STATE_FAULT:
        enter(safety, WIRE_STATE_HOMING);
        return true;
    default:
        return false;
    }
}

bool safety_arm(struct safety *safety) {
    if (safety->state != WIRE_STATE_HOMED) {
        return false;
    }
    enter(safety, WIRE_STATE_ARMED);
    return true;
}

void safety_disarm(struct safety *safety) {
    switch (safety->state) {
    case WIRE_STATE_ACTIVE:
        enter(safety, WIRE_STATE_STOPPING);
        break;
    case WIRE_STATE_ARMED:
        enter(safety, WIRE_STATE_HOMED);
        break;
    case WIRE_STATE_FAULT:
        enter(safety, safety->home_known ? WIRE_STATE_HOMED : WIRE_STATE_SAFE);
        break;
    case WIRE_STATE_HOMING:
        enter(safety, WIRE_STATE_SAFE);
        break;
    default:
        break;
    }
}

void safety_estop(struct safety *safety) {
    if (safety->state != WIRE_STATE_FAULT) {
        fail(safety, WIRE_FAULT_ESTOP);
    }
}

void safety_clock(struct safety *safety) {
    if (safety->state != WIRE_STATE_FAULT) {
        fail(safety, WIRE_FAULT_CLOCK);
    }
}

void safety_limit_switch(struct safety *safety) {
    if (safety->state == WIRE_STATE_ARMED || safety->state == WIRE_STATE_ACTIVE) {
        fail(safety, WIRE_FAULT_LIMIT_SWITCH);
    }
}

void safety_lost_edges(struct safety *safety) {
    switch (safety->state) {
    case WIRE_STATE_HOMED:
    case WIRE_STATE_ARMED:
    case WIRE_STATE_ACTIVE:
    case WIRE_STATE_STOPPING:
        fail(safety, WIRE_FAULT_ENCODER_LOST);
        break;
    case WIRE_STATE_FAULT:
        safety->home_known = false;
        break;
    default:
        break; /* zero has not been found yet */
    }
}

bool safety_idle(const struct safety *safety) {
    return safety->state != WIRE_STATE_ARMED && safety->state != WIRE_STATE_ACTIVE &&
           safety->state != WIRE_STATE_STOPPING;
}

void safety_forget_home(struct safety *safety) {
    safety->base_zero = 0;
    safety->pole_zero = 0;
    safety->sampled = false;
    safety->home_known = false;
    if (safety->state != WIRE_STATE_FAULT && safety->state != WIRE_STATE_BOOT) {
        enter(safety, WIRE_STATE_SAFE);
    }
}

void safety_heard(struct safety *safety) {
    safety->silent_ticks = 0;
}

bool safety_command(struct safety *safety, uint32_t age, uint8_t life) {
    if (age > life || age >= safety->command_age) {
        return false;
    }
    safety->command_age = age;
    safety->command_life = life;
    return true;
}

/* Count the ticks during which the encoders stay within one count of where they were. */
static void watch_still(struct safety *safety, bool pole_too, uint32_t periods) {
    const bool base_moved = distance(safety->base_count, safety->base_anchor) > DITHER;
    const bool pole_moved = distance(safety->pole_count, safety->pole_anchor) > DITHER;
    safety->still_ticks += periods;
    if (base_moved || (pole_too && pole_moved)) {
        safety->still_ticks = 0;
        safety->base_anchor = safety->base_count;
        safety->pole_anchor = safety->pole_count;
    }
}

static bool homing_tick(struct safety *safety, int32_t base_raw, int32_t pole_raw,
                        uint32_t periods) {
    watch_still(safety, true, periods);
    if (safety->still_ticks >= safety->limits->still_ticks) {
        safety->base_zero = base_raw;
        safety->pole_zero = pole_raw;
        safety->base_count = 0;
        safety->pole_count = 0;
        enter(safety, WIRE_STATE_HOMED);
        return true;
    }
    if (safety->state_ticks >= safety->limits->homing_ticks) {
        fail(safety, WIRE_FAULT_HOMING_TIMEOUT);
    }
    return false;
}

static void stopping_tick(struct safety *safety, uint32_t periods) {
    watch_still(safety, false, periods);
    if (safety->still_ticks >= safety->limits->rest_ticks ||
        safety->state_ticks >= safety->limits->stopping_ticks) {
        enter(safety, WIRE_STATE_HOMED);
    }
}

static bool over_current(struct safety *safety, int32_t current_ma) {
    const int32_t limit = safety->limits->current_ma;
    const bool over = current_ma != INT32_MIN && (current_ma > limit || current_ma < -limit);
    safety->over_current = over ? (uint8_t)(safety->over_current + 1u) : 0;
    return safety->over_current >= OVER_CURRENT_TICKS;
}

/* What forbids driving in ARMED and ACTIVE; NONE if nothing does. Steps are counts since the last
 * tick. */
static enum wire_fault check(struct safety *safety, int32_t base_step, int32_t pole_step,
                             uint32_t periods) {
    const struct safety_limits *limits = safety->limits;
    if (distance(safety->base_count, 0) > (uint32_t)limits->base_travel) {
        return WIRE_FAULT_BASE_TRAVEL;
    }
    if (distance(base_step, 0) / periods > (uint32_t)limits->base_step) {
        return WIRE_FAULT_BASE_RATE;
    }
    if (distance(pole_step, 0) / periods > (uint32_t)limits->pole_step) {
        return WIRE_FAULT_POLE_RATE;
    }
    if (safety->silent_ticks >= safety->link_ticks) {
        return WIRE_FAULT_LINK_LOST;
    }
    if (safety->commanded && safety->command_age > safety->command_life) {
        return WIRE_FAULT_COMMAND_LATE;
    }
    if (periods > limits->overrun_ticks) {
        return WIRE_FAULT_OVERRUN;
    }
    return motion_check(&safety->motion, &limits->motion, base_step, pole_step, safety->pole_count,
                        periods, safety->duty);
}

bool safety_sample(struct safety *safety, int32_t base_raw, int32_t pole_raw, int32_t current_ma,
                   uint32_t periods) {
    const int32_t base_count = minus(base_raw, safety->base_zero);
    const int32_t pole_count = minus(pole_raw, safety->pole_zero);
    const int32_t base_step = safety->sampled ? minus(base_count, safety->base_count) : 0;
    const int32_t pole_step = safety->sampled ? minus(pole_count, safety->pole_count) : 0;

    if (!safety->sampled) { /* there is no earlier count to compare with */
        safety->base_anchor = base_count;
        safety->pole_anchor = pole_count;
    }
    safety->base_count = base_count;
    safety->pole_count = pole_count;
    safety->sampled = true;
    safety->state_ticks += periods;
    safety->silent_ticks++; /* a board that stalled cannot blame the host for the silence */
    if (safety->command_age < NEVER) {
        safety->command_age += periods;
    }
    if (safety->state == WIRE_STATE_HOMING) {
        return homing_tick(safety, base_raw, pole_raw, periods);
    }
    if (safety->state == WIRE_STATE_STOPPING) {
        stopping_tick(safety, periods);
    } else if (safety->state == WIRE_STATE_ARMED || safety->state == WIRE_STATE_ACTIVE) {
        const enum wire_fault fault = over_current(safety, current_ma)
                                          ? WIRE_FAULT_OVER_CURRENT
                                          : check(safety, base_step, pole_step, periods);
        if (fault != WIRE_FAULT_NONE) {
            fail(safety, fault);
        } else if (safety->state == WIRE_STATE_ARMED) {
            enter(safety, WIRE_STATE_ACTIVE);
        }
    }
    return false;
}

float safety_drive(struct safety *safety, float output, float kick) {
    const float most = safety->limits->max_duty;
    if (!safety_is_finite(output) && safety->state != WIRE_STATE_FAULT) {
        fail(safety, WIRE_FAULT_NON_FINITE);
    }
    if (safety->state != WIRE_STATE_ACTIVE) {
        safety->duty = 0.0f;
        return 0.0f;
    }
    safety->duty = output + kick;
    if (safety->duty > most) {
        safety->duty = most;
    } else if (safety->duty < -most) {
        safety->duty = -most;
    }
    return safety->duty;
}
