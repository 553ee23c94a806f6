/* Frames on the line: 00 | COBS(type u8, flags u8, sequence u16, payload, CRC-32) | 00. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire_table.h"

/* Bytes of the longest frame: stuffed packet and its two zeros. */
#define FRAME_MAX (WIRE_MAX_STUFFED + 2u)

/* A complete packet. `payload` points into the receiver and is valid until its next byte. */
struct frame {
    uint8_t type;
    uint8_t flags;
    uint16_t sequence;
    const uint8_t *payload;
    uint16_t size; /* bytes of payload */
};

/* Takes the line byte by byte, decodes COBS on the way, and resynchronises at every zero. Start
 * from all zero bits. */
struct frame_receiver {
    uint8_t packet[WIRE_MAX_PACKET];
    uint16_t size;    /* bytes of the packet so far */
    uint8_t code;     /* of the open COBS block; 0: none since the last zero */
    uint8_t left;     /* bytes that the open block still lacks */
    bool overlong;    /* the packet outgrew its buffer, skip to the next zero */
    uint32_t ok;      /* frames given to the caller */
    uint32_t corrupt; /* bad stuffing, length or CRC */
    uint32_t overlong_frames;
};

/* Take one byte; true when it completes a good frame, which is then in `out`. */
bool frame_receive(struct frame_receiver *receiver, uint8_t byte, struct frame *out);

/* Write the frame of a message to `out` (FRAME_MAX bytes) and return its length. The flags say that
 * it comes from the board. `size` is at most WIRE_MAX_PACKET - 8. */
size_t frame_build(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                   uint16_t size);

#endif
