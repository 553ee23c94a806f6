/* Opens the core's modules to the tests: plain numbers in and out, one context
 * each. */
#include <string.h>

#include "angle.h"
#include "clock_watch.h"
#include "crc32.h"
#include "firmware_config.h"
#include "frame.h"
#include "observation.h"
#include "safety.h"

static struct frame_receiver receiver;

void shim_receiver_reset(void) {
    memset(&receiver, 0, sizeof receiver);
}

/* Feed bytes; write each good frame to `out` as size u16, type, flags, sequence
 * u16, payload. Gives the bytes written. */
size_t shim_receive(const uint8_t *bytes, size_t size, uint8_t *out, size_t room) {
    struct frame frame;
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++) {
        if (frame_receive(&receiver, bytes[i], &frame) &&
            (size_t)(at - out) + frame.size + 6u <= room) {
            at = wire_put_u16(at, frame.size);
            at = wire_put_u8(at, frame.type);
            at = wire_put_u8(at, frame.flags);
            at = wire_put_u16(at, frame.sequence);
            at = wire_put_bytes(at, frame.payload, frame.size);
        }
    }
    return (size_t)(at - out);
}

void shim_receiver_counts(uint32_t counts[3]) {
    counts[0] = receiver.ok;
    counts[1] = receiver.corrupt;
    counts[2] = receiver.overlong_frames;
}

static float history[64 * OBSERVATION_SIGNALS];
static struct observation observation;
static const struct observation_scale SCALE = {
    .base_unit_per_count = RIG_BASE_UNIT_PER_COUNT,
    .base_speed_per_count = RIG_BASE_SPEED_PER_COUNT,
    .pole_speed_per_count = RIG_POLE_SPEED_PER_COUNT,
    .pole_phase_per_count = RIG_POLE_PHASE_PER_COUNT,
};

void shim_observe_init(uint16_t frames) {
    observation_init(&observation, &SCALE, history, frames);
}

void shim_observe_reset(void) {
    observation_reset(&observation);
}

const float *shim_observe(int32_t base_count, int32_t pole_count, uint32_t periods) {
    observation_push(&observation, base_count, pole_count, periods);
    return history;
}

void shim_pole(const int32_t *counts, size_t size, float *sine, float *cosine) {
    for (size_t i = 0; i < size; i++) {
        const uint32_t phase = angle_pole_phase(counts[i], RIG_POLE_PHASE_PER_COUNT);
        angle_sin_cos(phase, &sine[i], &cosine[i]);
    }
}

void shim_sin_cos(const uint32_t *phases, size_t size, float *sine, float *cosine) {
    for (size_t i = 0; i < size; i++) {
        angle_sin_cos(phases[i], &sine[i], &cosine[i]);
    }
}

static struct clock_watch clocks;

void shim_clock_init(uint32_t window) {
    clock_watch_init(&clocks, window);
}

int shim_clock_tick(uint32_t second, uint32_t periods) {
    return clock_watch_tick(&clocks, second, periods);
}

int shim_clock_idle(uint32_t second) {
    return clock_watch_idle(&clocks, second);
}

/* Round limits, easier to reach than a rig's. */
static const struct safety_limits LIMITS = {
    .base_travel = 1000,
    .base_step = 300,
    .pole_step = 400,
    .still_ticks = 5,
    .homing_ticks = 20,
    .rest_ticks = 3,
    .stopping_ticks = 10,
    .link_ticks = 8,
    .overrun_ticks = 4,
    .current_ma = 2000,
    .max_duty = 0.8f,
    .motion =
        {
            .stuck_ticks = 6,
            .stuck_travel = 50,
            .stuck_duty = 0.5f,
            .telling_duty = 0.3f,
            .base_stop = 60,
            .pole_stop = 80,
            .telling_jerk = 15,
            .base_sense = 1,
            .pole_sense = 1,
            .pole_phase_per_count = RIG_POLE_PHASE_PER_COUNT,
            .base_push = 10.0f,
            .pull = {.turn = 0.005f, .fall = 14.0f, .coupled = 0.3f},
            .count_travel = 2.0f,
            .gravity = 40.0f,
        },
};
static struct safety safety;
static int32_t current = INT32_MIN;

/* Start anew, in `state`, at rest at home. */
void shim_safety_begin(int state) {
    safety_init(&safety, &LIMITS);
    current = INT32_MIN;
    safety.state = (enum wire_state)state;
    safety.fault = state == WIRE_STATE_FAULT ? WIRE_FAULT_POLE_RATE : WIRE_FAULT_NONE;
}

int shim_safety_state(void) {
    return safety.state;
}

int shim_safety_fault(void) {
    return safety.fault;
}

void shim_safety_counts(int32_t counts[2]) {
    counts[0] = safety.base_count;
    counts[1] = safety.pole_count;
}

void shim_safety_current(int32_t milliamperes) {
    current = milliamperes;
}

void shim_safety_start(void) {
    safety_start(&safety, false);
}

void shim_safety_restart(void) {
    safety_start(&safety, true);
}

void shim_safety_commanded(void) {
    safety.commanded = true;
}

int shim_safety_command(uint32_t age, uint8_t life) {
    return safety_command(&safety, age, life);
}

int shim_safety_home(void) {
    return safety_home(&safety);
}

int shim_safety_arm(void) {
    return safety_arm(&safety);
}

void shim_safety_disarm(void) {
    safety_disarm(&safety);
}

void shim_safety_estop(void) {
    safety_estop(&safety);
}

void shim_safety_forget_home(void) {
    safety_forget_home(&safety);
}

void shim_safety_heard(void) {
    safety_heard(&safety);
}

int shim_safety_sample(int32_t base_raw, int32_t pole_raw, uint32_t periods) {
    return safety_sample(&safety, base_raw, pole_raw, current, periods);
}

float shim_safety_drive(float output, float kick) {
    return safety_drive(&safety, output, kick);
}

void shim_safety_clock(void) {
    safety_clock(&safety);
}

void shim_safety_limit_switch(void) {
    safety_limit_switch(&safety);
}

void shim_safety_lost_edges(void) {
    safety_lost_edges(&safety);
}
