#include "messages.h"

#include "port.h"

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
    if (safety->state == firmware->reported && safety->fault == firmware->reported_fault) {
        return;
    }
    const struct wire_event event = {
        .tick = firmware->mode == WIRE_MODE_PIL ? firmware->plant_tick : firmware->tick,
        .time_us = port_time_us(),
        .previous = (uint8_t)firmware->reported,
        .state = (uint8_t)safety->state,
        .fault = (uint8_t)safety->fault,
    };
    wire_event_pack(&event, payload);
    firmware_send(firmware, WIRE_EVENT, payload, WIRE_EVENT_SIZE);
    firmware->reported = safety->state;
    firmware->reported_fault = safety->fault;
}

void firmware_send_observation(struct firmware *firmware) {
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

void firmware_send_tick(struct firmware *firmware) {
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
