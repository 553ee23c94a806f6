#include "control.h"

#include "choice.h"
#include "firmware_config.h"
#include "messages.h"
#include "timer.h"

/* The board has one motor and two encoders; a policy for anything else needs another board. */
typedef char
    policy_takes_the_rig[POLICY_OBSERVATION_SIZE == POLICY_FRAMES * OBSERVATION_SIGNALS ? 1 : -1];
typedef char policy_gives_one_duty[POLICY_ACTION_SIZE == 1 ? 1 : -1];

static void take_output(struct firmware *firmware, float output, uint32_t inference_ns) {
    firmware->act.output = output;
    firmware->act.inference_ns = port_inference_ns(inference_ns);
    if (firmware->act.inference_ns > firmware->max_inference_ns) {
        firmware->max_inference_ns = firmware->act.inference_ns;
    }
}

/* `follows`: what a recurrent policy remembers still holds; see policy_memory.h. */
static void infer(struct firmware *firmware, bool follows) {
    float action[POLICY_ACTION_SIZE];
#ifdef POLICY_STATE_SIZE
    struct policy_memory *memory = &firmware->memory;
    policy_memory_begin(memory, follows);
    const uint32_t start = port_timer();
    policy_act_with(&memory->state, firmware->history, action);
    const uint32_t inference_ns = timer_ns(port_timer() - start);
    take_output(firmware, policy_memory_duty(memory, action[0]), inference_ns);
#else
    (void)follows;
    const uint32_t start = port_timer();
    policy_act(firmware->history, action);
    take_output(firmware, choice_duty(action[0]), timer_ns(port_timer() - start));
#endif
}

static float take_kick(struct firmware *firmware) {
    if (firmware->kick_ticks == 0) {
        return 0.0f;
    }
    firmware->kick_ticks--;
    return firmware->kick;
}

/* Check the counts. A motor that may no longer run is turned off before anything else is computed.
 */
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
    const bool drove = safety->state == WIRE_STATE_ACTIVE;
    sense(firmware, base_raw, pole_raw, periods);
    const bool takes_over = safety->state == WIRE_STATE_ACTIVE && !drove;
    const bool follows = firmware->observation.primed && periods == 1 && !takes_over;
    observation_push(&firmware->observation, safety->base_count, safety->pole_count, periods);
    infer(firmware, follows); /* in every state: computing an output is not permission to drive */
    drive(firmware);
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

/* In host mode, the first half of a tick. firmware_command() is the second, unless the next tick
 * comes first. */
static void await_command(struct firmware *firmware, int32_t base_raw, int32_t pole_raw,
                          uint32_t periods) {
    sense(firmware, base_raw, pole_raw, periods);
    firmware->tick_open = true;
    firmware_send_observation(firmware);
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
        return true; /* late, but still valid: this tick still waits for its own */
    }
    firmware->receive_us = (uint32_t)(firmware->heard_us - firmware->sampled_us);
    firmware->tick_open = false;
    firmware_send_tick(firmware);
    return true;
}

void firmware_tick(struct firmware *firmware, const struct port_tick *due) {
    int32_t base_raw, pole_raw;
    if (firmware->tick_open) { /* the COMMAND of the last tick has not come */
        firmware->tick_open = false;
        firmware_send_tick(firmware);
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
        firmware_send_tick(firmware);
    }
    firmware_tell(firmware);
    if (firmware->step_open && (int32_t)(firmware->step_until - firmware->tick) <= 0) {
        firmware->step_open = false;
        firmware_ack(firmware, WIRE_STEP, firmware->step_sequence);
    }
}
