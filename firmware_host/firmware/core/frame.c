#include "frame.h"

#include "crc32.h"
#include "wire_codec.h"

#define HEADER_SIZE 4u
#define CRC_SIZE 4u
#define FULL_BLOCK 0xFFu /* COBS code of 254 bytes without a zero behind them */

static uint32_t seed_of(uint8_t type) {
    return type == WIRE_HELLO ? CRC32_PLAIN_SEED : WIRE_CRC_SEED;
}

static void append(struct frame_receiver *receiver, uint8_t byte) {
    if (receiver->size < WIRE_MAX_PACKET) {
        receiver->packet[receiver->size++] = byte;
    } else {
        receiver->overlong = true;
    }
}

static bool read_packet(const struct frame_receiver *receiver, struct frame *out) {
    uint32_t check;
    if (receiver->left != 0 || receiver->size < HEADER_SIZE + CRC_SIZE) {
        return false;
    }
    const uint16_t end = (uint16_t)(receiver->size - CRC_SIZE);
    const uint8_t *at = wire_get_u8(receiver->packet, &out->type);
    at = wire_get_u8(at, &out->flags);
    out->payload = wire_get_u16(at, &out->sequence);
    out->size = (uint16_t)(end - HEADER_SIZE);
    wire_get_u32(receiver->packet + end, &check);
    return crc32(seed_of(out->type), receiver->packet, end) == check;
}

static bool end_packet(struct frame_receiver *receiver, struct frame *out) {
    bool good = false;
    if (receiver->code == 0) {
        return false; /* two zeros in a row: nothing lies between two frames */
    }
    if (receiver->overlong) {
        receiver->overlong_frames++;
    } else if (read_packet(receiver, out)) {
        receiver->ok++;
        good = true;
    } else {
        receiver->corrupt++;
    }
    receiver->size = 0;
    receiver->code = 0;
    receiver->left = 0;
    receiver->overlong = false;
    return good;
}

bool frame_receive(struct frame_receiver *receiver, uint8_t byte, struct frame *out) {
    if (byte == 0) {
        return end_packet(receiver, out);
    }
    if (receiver->left > 0) {
        append(receiver, byte);
        receiver->left--;
        return false;
    }
    if (receiver->code != 0 && receiver->code != FULL_BLOCK) {
        append(receiver, 0); /* the zero that the previous block stood for */
    }
    receiver->code = byte;
    receiver->left = (uint8_t)(byte - 1);
    return false;
}

/* Stuff `size` bytes and return the end of what was written. */
static uint8_t *stuff(uint8_t *out, const uint8_t *packet, size_t size) {
    uint8_t *code = out++;
    *code = 1;
    for (size_t i = 0; i < size; i++) {
        if (packet[i] != 0) {
            *out++ = packet[i];
            (*code)++;
        }
        if (packet[i] == 0 || (*code == FULL_BLOCK && i + 1 < size)) {
            code = out++;
            *code = 1;
        }
    }
    return out;
}

size_t frame_build(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                   uint16_t size) {
    uint8_t packet[WIRE_MAX_PACKET];
    uint8_t *at = wire_put_u8(packet, type);
    at = wire_put_u8(at, WIRE_FLAG_TO_HOST);
    at = wire_put_u16(at, sequence);
    at = wire_put_bytes(at, payload, size);
    at = wire_put_u32(at, crc32(seed_of(type), packet, (size_t)(at - packet)));
    out[0] = 0;
    uint8_t *end = stuff(out + 1, packet, (size_t)(at - packet));
    *end++ = 0;
    return (size_t)(end - out);
}
