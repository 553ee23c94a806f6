#include "firmware.h"

#include "firmware_config.h"
#include "port.h"
#include "timer.h"

/* One motor and two encoders: any other policy needs another board. */
typedef char
    policy_takes_the_rig[POLICY_OBSERVATION_SIZE == POLICY_FRAMES * OBSERVATION_SIGNALS ? 1 : -1];
typedef char policy_gives_one_duty[POLICY_ACTION_SIZE == 1 ? 1 : -1];

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
        },
};

void firmware_send(struct firmware *firmware, uint8_t type, const uint8_t *payload, uint16_t size) {
    uint8_t bytes[FRAME_MAX];
    const size_t length = frame_build(bytes, type, firmware->sequence, payload, size);
    firmware->sequence++;
    if (!port_write(bytes, length)) {
        firmware->frames_dropped++;
    }
}

void firmware_ack(struct firmware *firmware, uint8_t type, uint16_t sequence) {
    uint8_t payload[WIRE_ACK_SIZE];
    const struct wire_ack ack = {.echo_type = type, .echo_sequence = sequence};
    wire_ack_pack(&ack, payload);
    firmware_send(firmware, WIRE_ACK, payload, WIRE_ACK_SIZE);
}

void firmware_tell(struct firmware *firmware) {
    const struct safety *safety = &firmware->safety;
    uint8_t payload[WIRE_EVENT_SIZE];
    if (safety->state == firmware->told && safety->fault == firmware->told_fault) {
        return;
    }
    const struct wire_event event = {
        .tick = firmware->mode == WIRE_MODE_PIL ? firmware->plant_tick : firmware->tick,
        .time_us = port_time_us(),
        .previous = (uint8_t)firmware->told,
        .state = (uint8_t)safety->state,
        .fault = (uint8_t)safety->fault,
    };
    wire_event_pack(&event, payload);
    firmware_send(firmware, WIRE_EVENT, payload, WIRE_EVENT_SIZE);
    firmware->told = safety->state;
    firmware->told_fault = safety->fault;
}

static void take_output(struct firmware *firmware, float output, uint32_t inference_ns) {
    firmware->act.output = output;
    firmware->act.inference_ns = port_inference_ns(inference_ns);
    if (firmware->act.inference_ns > firmware->max_inference_ns) {
        firmware->max_inference_ns = firmware->act.inference_ns;
    }
}

static void infer(struct firmware *firmware) {
    float action[POLICY_ACTION_SIZE];
    const uint32_t start = port_timer();
    policy_act(firmware->history, action);
    take_output(firmware, action[0], timer_ns(port_timer() - start));
}

static float take_kick(struct firmware *firmware) {
    if (firmware->kick_ticks == 0) {
        return 0.0f;
    }
    firmware->kick_ticks--;
    return firmware->kick;
}

/* Check the counts; a motor that may no longer run is off before anything else is computed. */
static void sense(struct firmware *firmware, int32_t base_raw, int32_t pole_raw, uint32_t periods) {
    const bool in_loop = firmware->mode == WIRE_MODE_PIL; /* no motor to measure */
    const int32_t current_ma = in_loop ? PORT_CURRENT_UNKNOWN : port_current_ma();
    struct safety *safety = &firmware->safety;
    const bool drove = safety->state == WIRE_STATE_ACTIVE;
    const uint32_t lost = in_loop ? firmware->edges_lost : port_lost_edges();
    if (lost != firmware->edges_lost) {
        firmware->edges_lost = lost;
        safety_lost_edges(safety);
    }
    if (RIG_LIMIT_SWITCHES != 0 && !in_loop && port_limit_switch()) {
        safety_limit_switch(safety);
    }
    if (safety_sample(safety, base_raw, pole_raw, current_ma, periods)) {
        observation_reset(&firmware->observation);
    }
    if (drove && safety->state != WIRE_STATE_ACTIVE) {
        port_motor(0.0f);
    }
}

static void drive(struct firmware *firmware) {
    const float kick = take_kick(firmware);
    firmware->act.duty = safety_drive(&firmware->safety, firmware->act.output, kick);
}

void firmware_control(struct firmware *firmware, int32_t base_raw, int32_t pole_raw,
                      uint32_t periods) {
    const struct safety *safety = &firmware->safety;
    sense(firmware, base_raw, pole_raw, periods);
    observation_push(&firmware->observation, safety->base_count, safety->pole_count, periods);
    infer(firmware); /* in every state: an output is not permission to drive */
    drive(firmware);
}

static void send_observation(struct firmware *firmware) {
    uint8_t payload[WIRE_OBSERVATION_SIZE];
    const struct safety *safety = &firmware->safety;
    const struct wire_observation observation = {
        .tick = firmware->tick,
        .sample_time_us = firmware->sampled_us,
        .base_count = safety->base_count,
        .pole_count = safety->pole_count,
        .transmit_us = (uint32_t)(port_time_us() - firmware->sampled_us),
        .state = (uint8_t)safety->state,
        .fault = (uint8_t)safety->fault,
    };
    if (firmware->configured) {
        wire_observation_pack(&observation, payload);
        firmware_send(firmware, WIRE_OBSERVATION, payload, WIRE_OBSERVATION_SIZE);
    }
}

/* Report the last tick as done, with the duty that holds. */
static void send_tick(struct firmware *firmware) {
    uint8_t payload[WIRE_TICK_SIZE];
    const struct safety *safety = &firmware->safety;
    const struct wire_tick tick = {
        .tick = firmware->tick,
        .sample_time_us = firmware->sampled_us,
        .base_count = safety->base_count,
        .pole_count = safety->pole_count,
        .duty = safety->duty,
        .policy_output = firmware->act.output,
        .inference_ns = firmware->act.inference_ns,
        .receive_us = firmware->receive_us,
        .actuation_us = (uint32_t)(port_time_us() - firmware->sampled_us),
        .lateness_us = firmware->lateness_us,
        .state = (uint8_t)safety->state,
        .fault = (uint8_t)safety->fault,
        .skipped = (uint16_t)firmware->skipped,
    };
    if (firmware->configured) {
        wire_tick_pack(&tick, payload);
        firmware_send(firmware, WIRE_TICK, payload, WIRE_TICK_SIZE);
    }
}

static void count_tick(struct firmware *firmware, const struct port_tick *due) {
    firmware->tick += due->periods;
    firmware->ticks_run++;
    firmware->skipped += due->periods - 1;
    firmware->lateness_us = due->lateness_us;
    if (due->lateness_us > 0 && (uint32_t)due->lateness_us > firmware->max_lateness_us) {
        firmware->max_lateness_us = (uint32_t)due->lateness_us;
    }
}

/* Host mode's half of a tick; firmware_command() is the other, unless the next tick comes first. */
static void await_command(struct firmware *firmware, int32_t base_raw, int32_t pole_raw,
                          uint32_t periods) {
    sense(firmware, base_raw, pole_raw, periods);
    firmware->tick_open = true;
    send_observation(firmware);
}

bool firmware_command(struct firmware *firmware, const struct wire_command_request *command) {
    const uint32_t age = firmware->tick - command->tick;
    if (!safety_command(&firmware->safety, age, command->time_to_live)) {
        return false;
    }
    take_output(firmware, command->output, command->inference_ns);
    drive(firmware);
    port_motor(firmware->act.duty);
    if (age != 0) {
        return true; /* late, but alive: this tick still waits for its own */
    }
    firmware->receive_us = (uint32_t)(firmware->heard_us - firmware->sampled_us);
    firmware->tick_open = false;
    send_tick(firmware);
    return true;
}

/* A control tick, from encoders to motor to report, or, in host mode, to the host. */
static void control_tick(struct firmware *firmware, const struct port_tick *due) {
    int32_t base_raw, pole_raw;
    if (firmware->tick_open) { /* the last one's COMMAND has not come */
        firmware->tick_open = false;
        send_tick(firmware);
    }
    count_tick(firmware, due);
    firmware->sampled_us = port_time_us();
    firmware->receive_us = 0;
    port_encoders(&base_raw, &pole_raw);
    if (firmware->mode == WIRE_MODE_HOST) {
        await_command(firmware, base_raw, pole_raw, due->periods);
    } else {
        firmware_control(firmware, base_raw, pole_raw, due->periods);
        port_motor(firmware->act.duty);
        send_tick(firmware);
    }
    firmware_tell(firmware);
    if (firmware->step_open && (int32_t)(firmware->step_until - firmware->tick) <= 0) {
        firmware->step_open = false;
        firmware_ack(firmware, WIRE_STEP, firmware->step_sequence);
    }
}

/* Work off the bytes read; a STEP ends that until its ticks have run. */
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
    firmware->told = firmware->safety.state;
    clock_watch_init(&firmware->clocks, SAFETY_CLOCK_TICKS);
    firmware->mode = WIRE_MODE_DEVICE;
    firmware->nonce = (uint32_t)port_time_us() ^ 0x2545F491u; /* not 0, which xorshift keeps */
    port_motor(0.0f);
    safety_start(&firmware->safety, port_watchdog_fired());
    firmware->told = firmware->safety.state; /* nobody listens yet; HELLO tells */
}

/* Ticks that the second clock contradicts are none to drive by. */
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
                control_tick(firmware, &due);
            }
            port_watchdog(); /* here alone while a motor may run: no tick, no food */
            break;
        case PORT_IDLE:
            judge_clocks(firmware, clock_watch_idle(&firmware->clocks, due.second));
            break;
        case PORT_SERIAL: /* before a tick that may be due: the clocks are not compared */
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
