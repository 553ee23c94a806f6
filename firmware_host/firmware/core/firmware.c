#include "firmware.h"

#include "control.h"
#include "firmware_config.h"
#include "messages.h"
#include "port.h"
#include "requests.h"

static const struct observation_scale SCALE = {
    .base_unit_per_count = RIG_BASE_UNIT_PER_COUNT,
    .base_speed_per_count = RIG_BASE_SPEED_PER_COUNT,
    .pole_speed_per_count = RIG_POLE_SPEED_PER_COUNT,
    .pole_phase_per_count = RIG_POLE_PHASE_PER_COUNT,
};

static const struct safety_limits LIMITS = {
    .base_travel = RIG_BASE_TRAVEL_COUNTS,
    .base_step = RIG_BASE_STEP_COUNTS,
    .pole_step = RIG_POLE_STEP_COUNTS,
    .still_ticks = SAFETY_STILL_TICKS,
    .homing_ticks = SAFETY_HOMING_TICKS,
    .rest_ticks = SAFETY_REST_TICKS,
    .stopping_ticks = SAFETY_STOPPING_TICKS,
    .link_ticks = SAFETY_LINK_TICKS,
    .overrun_ticks = SAFETY_OVERRUN_TICKS,
    .current_ma = RIG_CURRENT_LIMIT_MA,
    .max_duty = RIG_MAX_DUTY,
    .motion =
        {
            .stuck_ticks = SAFETY_STUCK_TICKS,
            .stuck_travel = SAFETY_STUCK_TRAVEL_COUNTS,
            .stuck_duty = SAFETY_STUCK_DUTY,
            .telling_duty = SAFETY_TELLING_DUTY,
            .base_stop = SAFETY_BASE_STOP_COUNTS,
            .pole_stop = SAFETY_POLE_STOP_COUNTS,
            .telling_jerk = RIG_TELLING_JERK_COUNTS,
            .base_sense = RIG_BASE_SENSE,
            .pole_sense = RIG_POLE_SENSE,
            .pole_phase_per_count = RIG_POLE_PHASE_PER_COUNT,
            .base_push = RIG_BASE_PUSH,
            .pull =
                {
                    .turn = RIG_PULL_TURN,
                    .fall = RIG_PULL_FALL,
                    .spin = RIG_PULL_SPIN,
                    .twist = RIG_PULL_TWIST,
                    .coupled = RIG_PULL_COUPLED,
                    .level = RIG_PULL_LEVEL,
                },
            .count_travel = RIG_POLE_COUNT_TRAVEL,
            .gravity = RIG_GRAVITY,
            .whirl = RIG_WHIRL,
        },
};

/* Handle the bytes that were read. After a STEP, the rest waits until its ticks have run. */
static void serial_input(struct firmware *firmware) {
    struct frame frame;
    while (firmware->input_next < firmware->input_size && !firmware->step_open) {
        const uint8_t byte = firmware->input[firmware->input_next++];
        if (!frame_receive(&firmware->receiver, byte, &frame)) {
            continue;
        }
        if ((frame.flags & WIRE_FLAG_TO_HOST) != 0) {
            firmware->frames_unknown++; /* an echo of what was sent */
            continue;
        }
        if (frame.type != WIRE_STEP) { /* the virtual clock's hand, not the host's voice */
            safety_heard(&firmware->safety);
        }
        firmware_answer(firmware, &frame);
        firmware_tell(firmware);
    }
}

static void boot(struct firmware *firmware) {
    observation_init(&firmware->observation, &SCALE, firmware->history, POLICY_FRAMES);
    safety_init(&firmware->safety, &LIMITS);
    firmware->reported = firmware->safety.state;
    clock_watch_init(&firmware->clocks, SAFETY_CLOCK_TICKS);
    firmware->mode = WIRE_MODE_DEVICE;
    firmware->nonce = (uint32_t)port_time_us() ^ 0x2545F491u; /* not 0, which xorshift keeps */
    port_motor(0.0f);
    safety_start(&firmware->safety, port_watchdog_fired());
    firmware->reported = firmware->safety.state; /* nobody listens yet; HELLO reports it */
}

/* Do not drive by ticks that the second clock contradicts. */
static void judge_clocks(struct firmware *firmware, bool agree) {
    if (!agree) {
        safety_clock(&firmware->safety);
        port_motor(0.0f);
        firmware_tell(firmware);
    }
}

void firmware_run(struct firmware *firmware) {
    struct port_tick due;
    boot(firmware);
    for (;;) {
        serial_input(firmware);
        switch (port_wait(&due)) {
        case PORT_TICK:
            judge_clocks(firmware, clock_watch_tick(&firmware->clocks, due.second, due.periods));
            if (firmware->mode != WIRE_MODE_PIL) {
                firmware_tick(firmware, &due);
            }
            port_watchdog(); /* here alone while a motor may run: no tick, no food */
            break;
        case PORT_IDLE:
            judge_clocks(firmware, clock_watch_idle(&firmware->clocks, due.second));
            break;
        case PORT_SERIAL: /* a tick may be due: the clocks cannot be compared yet */
            firmware->input_size = (uint8_t)port_read(firmware->input, sizeof firmware->input);
            firmware->input_next = 0;
            firmware->heard_us = port_time_us();
            break;
        case PORT_STOP:
            port_motor(0.0f);
            return;
        }
    }
}
