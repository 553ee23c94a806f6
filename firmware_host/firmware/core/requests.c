/* What the host may ask, and what the board answers. */
#include "requests.h"

#include <string.h>

#include "control.h"
#include "firmware_config.h"
#include "golden.h"
#include "in_flash.h"
#include "messages.h"
#include "port.h"

/* Beside enum wire_reason: there is no reason to refuse. */
#define ACCEPTED 0

static void nack(struct firmware *firmware, const struct frame *frame, uint8_t reason) {
    uint8_t payload[WIRE_NACK_SIZE];
    const struct wire_nack nack = {
        .echo_type = frame->type, .echo_sequence = frame->sequence, .reason = reason};
    wire_nack_pack(&nack, payload);
    firmware_send(firmware, WIRE_NACK, payload, WIRE_NACK_SIZE);
}

static void verdict(struct firmware *firmware, const struct frame *frame, uint8_t reason) {
    if (reason == ACCEPTED) {
        firmware_ack(firmware, frame->type, frame->sequence);
    } else {
        nack(firmware, frame, reason);
    }
}

static uint8_t hex_digit(char digit) {
    return (uint8_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
}

static void policy_digest(uint8_t digest[32]) {
    static const char hex[] IN_FLASH = POLICY_DIGEST;
    for (int i = 0; i < 32; i++) {
        const char high = (char)in_flash_byte(&hex[2 * i]),
                   low = (char)in_flash_byte(&hex[2 * i + 1]);
        digest[i] = (uint8_t)(hex_digit(high) << 4 | hex_digit(low));
    }
}

static const uint8_t RIG_DIGEST_HERE[8] = RIG_DIGEST;

static void hello(struct firmware *firmware, const struct frame *frame) {
    uint8_t payload[WIRE_HELLO_SIZE];
    struct wire_hello hello = {
        .protocol_hash = WIRE_PROTOCOL_HASH,
        .clock_hz = FIRMWARE_TIMER_HZ,
        .board = FIRMWARE_BOARD,
        .firmware_version = FIRMWARE_VERSION,
        .observation_size = POLICY_OBSERVATION_SIZE,
        .action_size = POLICY_ACTION_SIZE,
        .frames = POLICY_FRAMES,
        .vector_count = golden_count(),
        .period_us = RIG_PERIOD_US,
        .base_unit_per_count = RIG_BASE_UNIT_PER_COUNT,
        .pole_rad_per_count = RIG_POLE_RAD_PER_COUNT,
        .base_limit = RIG_BASE_LIMIT,
        .max_duty = RIG_MAX_DUTY,
        .base_rate_limit = RIG_BASE_RATE_LIMIT,
        .pole_rate_limit = RIG_POLE_RATE_LIMIT,
        .current_limit_ma =
            port_current_ma() == PORT_CURRENT_UNKNOWN ? 0u : (uint32_t)RIG_CURRENT_LIMIT_MA,
        .link_timeout_ticks = firmware->safety.link_ticks,
        .arm_nonce = firmware->nonce,
        .tick = firmware->tick,
        .state = (uint8_t)firmware->safety.state,
        .fault = (uint8_t)firmware->safety.fault,
        .mode = firmware->mode,
        .clock = port_clock(),
    };
    (void)frame;
    policy_digest(hello.policy_digest);
    memcpy(hello.rig_digest, RIG_DIGEST_HERE, sizeof hello.rig_digest);
    wire_hello_pack(&hello, payload);
    firmware_send(firmware, WIRE_HELLO, payload, WIRE_HELLO_SIZE);
}

static bool same_bits(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static uint8_t compare_policy(const struct wire_config_request *host) {
    uint8_t digest[32];
    policy_digest(digest);
    if (memcmp(digest, host->policy_digest, sizeof digest) != 0) {
        return WIRE_REASON_WRONG_DIGEST;
    }
    if (host->observation_size != POLICY_OBSERVATION_SIZE ||
        host->action_size != POLICY_ACTION_SIZE || host->frames != POLICY_FRAMES) {
        return WIRE_REASON_WRONG_SIZES;
    }
    return ACCEPTED;
}

static uint8_t compare_rig(const struct wire_config_request *host) {
    if (host->period_us != RIG_PERIOD_US) {
        return WIRE_REASON_WRONG_PERIOD;
    }
    if (!same_bits(host->base_unit_per_count, RIG_BASE_UNIT_PER_COUNT)) {
        return WIRE_REASON_WRONG_BASE_SCALE;
    }
    if (!same_bits(host->pole_rad_per_count, RIG_POLE_RAD_PER_COUNT)) {
        return WIRE_REASON_WRONG_POLE_SCALE;
    }
    if (memcmp(host->rig_digest, RIG_DIGEST_HERE, sizeof RIG_DIGEST_HERE) != 0) {
        return WIRE_REASON_WRONG_RIG;
    }
    if (host->link_timeout_ticks == 0 || host->link_timeout_ticks > SAFETY_LINK_MOST_TICKS) {
        return WIRE_REASON_BAD_VALUE;
    }
    return ACCEPTED;
}

static void config(struct firmware *firmware, const struct frame *frame) {
    struct wire_config_request request;
    wire_config_request_unpack(&request, frame->payload);
    if (!safety_idle(&firmware->safety)) {
        nack(firmware, frame, WIRE_REASON_WRONG_STATE);
        return;
    }
    uint8_t reason = ACCEPTED;
    if (firmware->mode != WIRE_MODE_HOST) { /* otherwise the board's policy does not matter */
        reason = compare_policy(&request);
    }
    if (reason == ACCEPTED) {
        reason = compare_rig(&request);
    }
    firmware->configured = reason == ACCEPTED;
    if (firmware->configured) {
        firmware->safety.link_ticks = request.link_timeout_ticks;
    }
    verdict(firmware, frame, reason);
}

static void home(struct firmware *firmware, const struct frame *frame) {
    const bool accepted = safety_home(&firmware->safety);
    verdict(firmware, frame, (uint8_t)(accepted ? ACCEPTED : WIRE_REASON_WRONG_STATE));
}

/* xorshift32 (Marsaglia, 2003): any sequence of values that does not repeat soon will do. */
static uint32_t next_nonce(uint32_t nonce) {
    nonce ^= nonce << 13;
    nonce ^= nonce >> 17;
    return nonce ^ (nonce << 5);
}

static void arm(struct firmware *firmware, const struct frame *frame) {
    struct wire_arm_request request;
    uint8_t reason = ACCEPTED;
    wire_arm_request_unpack(&request, frame->payload);
    if (request.nonce != firmware->nonce) {
        reason = WIRE_REASON_WRONG_NONCE;
    } else if (!firmware->configured) {
        reason = WIRE_REASON_NOT_CONFIGURED;
    } else if (!safety_arm(&firmware->safety)) {
        reason = WIRE_REASON_WRONG_STATE;
    }
    firmware->nonce = next_nonce(firmware->nonce);
    firmware->kick_ticks = 0;
    verdict(firmware, frame, reason);
}

static void disarm(struct firmware *firmware, const struct frame *frame) {
    safety_disarm(&firmware->safety);
    port_motor(0.0f);
    verdict(firmware, frame, ACCEPTED);
}

static void estop(struct firmware *firmware, const struct frame *frame) {
    safety_estop(&firmware->safety);
    port_motor(0.0f);
    verdict(firmware, frame, ACCEPTED);
}

static void mode(struct firmware *firmware, const struct frame *frame) {
    struct wire_mode_request request;
    uint8_t reason = ACCEPTED;
    wire_mode_request_unpack(&request, frame->payload);
    if (request.mode > WIRE_MODE_HOST) {
        reason = WIRE_REASON_UNKNOWN_MODE;
    } else if (!safety_idle(&firmware->safety)) {
        reason = WIRE_REASON_WRONG_STATE;
    } else {
        const bool other_encoders =
            (request.mode == WIRE_MODE_PIL) != (firmware->mode == WIRE_MODE_PIL);
        firmware->mode = request.mode;
        firmware->safety.commanded = request.mode == WIRE_MODE_HOST;
        firmware->configured = false;
        firmware->tick_open = false;
        firmware->plant_begun = false;
        if (other_encoders) {
            safety_forget_home(&firmware->safety);
        }
        observation_reset(&firmware->observation);
    }
    verdict(firmware, frame, reason);
}

static void timesync(struct firmware *firmware, const struct frame *frame) {
    struct wire_timesync_request request;
    uint8_t payload[WIRE_TIMESYNC_SIZE];
    wire_timesync_request_unpack(&request, frame->payload);
    const struct wire_timesync answer = {
        .host_time_ns = request.host_time_ns,
        .receive_time_us = firmware->heard_us,
        .transmit_time_us = port_time_us(),
    };
    wire_timesync_pack(&answer, payload);
    firmware_send(firmware, WIRE_TIMESYNC, payload, WIRE_TIMESYNC_SIZE);
}

static void plant_act(struct firmware *firmware) {
    uint8_t payload[WIRE_PLANT_ACT_SIZE];
    const struct wire_plant_act act = {
        .tick = firmware->plant_tick,
        .duty = firmware->act.duty,
        .policy_output = firmware->act.output,
        .inference_ns = firmware->act.inference_ns,
        .state = (uint8_t)firmware->safety.state,
        .fault = (uint8_t)firmware->safety.fault,
    };
    wire_plant_act_pack(&act, payload);
    firmware_send(firmware, WIRE_PLANT_ACT, payload, WIRE_PLANT_ACT_SIZE);
}

static void plant_step(struct firmware *firmware, const struct frame *frame) {
    struct wire_plant_step_request step;
    wire_plant_step_request_unpack(&step, frame->payload);
    if (firmware->mode != WIRE_MODE_PIL) {
        nack(firmware, frame, WIRE_REASON_WRONG_MODE);
        return;
    }
    const bool again = firmware->plant_begun && step.tick == firmware->plant_tick;
    if (firmware->plant_begun && !again && step.tick != firmware->plant_tick + 1) {
        nack(firmware, frame, WIRE_REASON_WRONG_TICK);
        return;
    }
    if (!again) {
        firmware->plant_begun = true;
        firmware->plant_tick = step.tick;
        firmware->ticks_run++;
        firmware_control(firmware, step.base_count, step.pole_count, 1);
    }
    plant_act(firmware);
}

static void step(struct firmware *firmware, const struct frame *frame) {
    struct wire_step_request request;
    wire_step_request_unpack(&request, frame->payload);
    const int32_t wanted = (int32_t)(request.until_tick - firmware->tick);
    if (firmware->mode == WIRE_MODE_PIL || port_clock() != WIRE_CLOCK_LOCKSTEP) {
        nack(firmware, frame, WIRE_REASON_WRONG_MODE);
    } else if (wanted <= 0) {
        firmware_ack(firmware, frame->type, frame->sequence);
    } else if (!port_grant((uint32_t)wanted)) {
        nack(firmware, frame, WIRE_REASON_BAD_VALUE);
    } else {
        firmware->step_open = true;
        firmware->step_until = request.until_tick;
        firmware->step_sequence = frame->sequence;
    }
}

static void command(struct firmware *firmware, const struct frame *frame) {
    struct wire_command_request request;
    wire_command_request_unpack(&request, frame->payload);
    if (firmware->mode != WIRE_MODE_HOST) {
        nack(firmware, frame, WIRE_REASON_WRONG_MODE);
    } else if (request.time_to_live == 0 || request.time_to_live > SAFETY_COMMAND_TICKS) {
        nack(firmware, frame, WIRE_REASON_BAD_VALUE);
    } else if (!firmware_command(firmware, &request)) {
        nack(firmware, frame, WIRE_REASON_WRONG_TICK);
    } else if (request.tick != firmware->tick) {
        firmware_ack(firmware, frame->type, frame->sequence); /* otherwise its TICK has answered */
    }
}

static void disturb(struct firmware *firmware, const struct frame *frame) {
    struct wire_disturb_request request;
    uint8_t reason = ACCEPTED;
    wire_disturb_request_unpack(&request, frame->payload);
    if (!safety_is_finite(request.duty)) {
        reason = WIRE_REASON_BAD_VALUE;
    } else if (firmware->safety.state != WIRE_STATE_ACTIVE) {
        reason = WIRE_REASON_WRONG_STATE;
    } else {
        firmware->kick = request.duty;
        firmware->kick_ticks = request.ticks;
    }
    verdict(firmware, frame, reason);
}

static void bench(struct firmware *firmware, const struct frame *frame) {
    struct wire_bench_request request;
    struct golden_result golden;
    uint8_t payload[WIRE_BENCH_SIZE];
    wire_bench_request_unpack(&request, frame->payload);
    if (!safety_idle(&firmware->safety)) {
        nack(firmware, frame, WIRE_REASON_WRONG_STATE);
        return;
    }
    if (!golden_replay(request.index, &golden)) {
        nack(firmware, frame, WIRE_REASON_BAD_INDEX);
        return;
    }
    const struct wire_bench answer = {
        .index = request.index,
        .action = golden.action,
        .max_error = golden.max_error,
        .inference_ns = golden.least_ns,
    };
    wire_bench_pack(&answer, payload);
    firmware_send(firmware, WIRE_BENCH, payload, WIRE_BENCH_SIZE);
}

static void stats(struct firmware *firmware, const struct frame *frame) {
    uint8_t payload[WIRE_STATS_SIZE];
    const struct wire_stats answer = {
        .uptime_us = port_time_us(),
        .frames_ok = firmware->receiver.ok,
        .frames_corrupt = firmware->receiver.corrupt,
        .frames_overlong = firmware->receiver.overlong_frames,
        .frames_unknown = firmware->frames_unknown,
        .frames_dropped = firmware->frames_dropped,
        .ticks = firmware->ticks_run,
        .skipped = firmware->skipped,
        .max_lateness_us = firmware->max_lateness_us,
        .max_inference_ns = firmware->max_inference_ns,
        .edges_lost = firmware->edges_lost,
    };
    (void)frame;
    wire_stats_pack(&answer, payload);
    firmware_send(firmware, WIRE_STATS, payload, WIRE_STATS_SIZE);
}

static void rig(struct firmware *firmware, const struct frame *frame) {
    uint8_t payload[WIRE_RIG_SIZE];
    const struct wire_rig answer = {
        .current_limit_ma = RIG_CURRENT_LIMIT_MA,
        .telling_jerk = RIG_TELLING_JERK_COUNTS,
        .pole_sense = RIG_POLE_SENSE,
        .watchdog_us = SAFETY_WATCHDOG_US,
        .limit_switches = RIG_LIMIT_SWITCHES,
    };
    (void)frame;
    wire_rig_pack(&answer, payload);
    firmware_send(firmware, WIRE_RIG, payload, WIRE_RIG_SIZE);
}

struct request {
    uint8_t type;
    uint16_t size; /* of the payload */
    void (*answer)(struct firmware *firmware, const struct frame *frame);
};

static const struct request REQUESTS[] = {
    {WIRE_HELLO, WIRE_HELLO_REQUEST_SIZE, hello},
    {WIRE_CONFIG, WIRE_CONFIG_REQUEST_SIZE, config},
    {WIRE_HOME, WIRE_HOME_REQUEST_SIZE, home},
    {WIRE_ARM, WIRE_ARM_REQUEST_SIZE, arm},
    {WIRE_DISARM, WIRE_DISARM_REQUEST_SIZE, disarm},
    {WIRE_ESTOP, WIRE_ESTOP_REQUEST_SIZE, estop},
    {WIRE_MODE, WIRE_MODE_REQUEST_SIZE, mode},
    {WIRE_TIMESYNC, WIRE_TIMESYNC_REQUEST_SIZE, timesync},
    {WIRE_PLANT_STEP, WIRE_PLANT_STEP_REQUEST_SIZE, plant_step},
    {WIRE_STEP, WIRE_STEP_REQUEST_SIZE, step},
    {WIRE_DISTURB, WIRE_DISTURB_REQUEST_SIZE, disturb},
    {WIRE_COMMAND, WIRE_COMMAND_REQUEST_SIZE, command},
    {WIRE_BENCH, WIRE_BENCH_REQUEST_SIZE, bench},
    {WIRE_STATS, WIRE_STATS_REQUEST_SIZE, stats},
    {WIRE_RIG, WIRE_RIG_REQUEST_SIZE, rig},
};

void firmware_answer(struct firmware *firmware, const struct frame *frame) {
    for (size_t i = 0; i < sizeof REQUESTS / sizeof REQUESTS[0]; i++) {
        const bool fits = frame->size == REQUESTS[i].size || frame->type == WIRE_HELLO;
        if (REQUESTS[i].type == frame->type && fits) {
            REQUESTS[i].answer(firmware, frame);
            return;
        }
    }
    firmware->frames_unknown++;
}
