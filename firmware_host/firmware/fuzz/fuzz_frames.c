/* Any bytes at the frame receiver, for a coverage-guided fuzzer (clang -fsanitize=fuzzer): it must
 * keep within its buffer, give frames that build the same bytes again, and be ready for the next
 * good frame whatever came before.
 *
 * The check value would stop a fuzzer at the door, so the first byte of the input may ask for each
 * packet's to be made right. */
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "frame.h"
#include "wire_codec.h"

#define PACKET_MAX (WIRE_MAX_PACKET + 16u) /* longer than any may be */

static void check(bool holds) {
    if (!holds) {
        abort();
    }
}

/* A frame that was received builds, as the board's own, one that is received again. */
static void check_frame(const struct frame *frame) {
    struct frame_receiver receiver;
    struct frame again;
    uint8_t bytes[FRAME_MAX];
    bool received = false;
    memset(&receiver, 0, sizeof receiver);
    check(frame->size <= WIRE_MAX_PACKET - 8u);
    const size_t size =
        frame_build(bytes, frame->type, frame->sequence, frame->payload, frame->size);
    check(size <= FRAME_MAX);
    for (size_t i = 0; i < size; i++) {
        const bool done = frame_receive(&receiver, bytes[i], &again);
        check(!(done && received) && (!done || i + 1 == size));
        received = received || done;
    }
    check(received && again.type == frame->type && again.sequence == frame->sequence);
    check(again.size == frame->size && memcmp(again.payload, frame->payload, again.size) == 0);
}

static void feed(struct frame_receiver *receiver, const uint8_t *bytes, size_t size) {
    struct frame frame;
    for (size_t i = 0; i < size; i++) {
        if (frame_receive(receiver, bytes[i], &frame)) {
            check_frame(&frame);
        }
        check(receiver->size <= WIRE_MAX_PACKET);
    }
}

/* COBS for packets of under 254 bytes; gives the bytes written, one more than `size`. */
static size_t stuff(uint8_t *out, const uint8_t *packet, size_t size) {
    size_t code = 0;
    out[0] = 1;
    for (size_t i = 0; i < size; i++) {
        out[i + 1] = packet[i];
        if (packet[i] == 0) {
            code = i + 1;
            out[code] = 1;
        } else {
            out[code]++;
        }
    }
    return size + 1;
}

/* Packets as the input has them, of any size, each with its right check value. */
static void feed_packets(struct frame_receiver *receiver, const uint8_t *data, size_t size) {
    static const uint8_t zero = 0;
    uint8_t packet[PACKET_MAX], stuffed[PACKET_MAX + 1u];
    while (size > 1) {
        size_t length = data[0] % (PACKET_MAX - 4u);
        length = length < size - 1 ? length : size - 1;
        memcpy(packet, data + 1, length);
        const uint32_t seed =
            length > 0 && packet[0] == WIRE_HELLO ? CRC32_PLAIN_SEED : WIRE_CRC_SEED;
        wire_put_u32(packet + length, crc32(seed, packet, length));
        feed(receiver, &zero, 1);
        feed(receiver, stuffed, stuff(stuffed, packet, length + 4));
        feed(receiver, &zero, 1);
        data += length + 1;
        size -= length + 1;
    }
}

/* The next good frame is delivered, whatever came before. */
static void check_recovery(struct frame_receiver *receiver) {
    static const uint8_t payload[3] = {0, 1, 2};
    struct frame frame;
    uint8_t bytes[FRAME_MAX];
    bool received = false;
    const size_t size = frame_build(bytes, WIRE_ACK, 7, payload, sizeof payload);
    frame_receive(receiver, 0, &frame); /* ends what was open, good or bad */
    for (size_t i = 0; i < size; i++) {
        received = frame_receive(receiver, bytes[i], &frame) || received;
    }
    check(received && frame.type == WIRE_ACK && frame.sequence == 7 && frame.size == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frame_receiver receiver;
    memset(&receiver, 0, sizeof receiver);
    if (size > 0 && (data[0] & 1u) != 0) {
        feed_packets(&receiver, data + 1, size - 1);
    } else {
        feed(&receiver, data, size);
    }
    check_recovery(&receiver);
    return 0;
}
