/* Bytes between an interrupt and the main thread: one writes, the other reads, neither locks. */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stdint.h>

/* Holds size - 1 bytes. Each index is a byte, so that it is read and written in one go even by an
 * 8-bit core, and is changed by one side only. */
struct ring {
    volatile uint8_t *bytes;
    uint8_t size;
    volatile uint8_t first; /* the reader's: next to take */
    volatile uint8_t end;   /* the writer's: next to fill */
};

static inline uint8_t ring_after(const struct ring *ring, uint8_t index) {
    return index + 1u == ring->size ? 0u : (uint8_t)(index + 1u);
}

static inline uint8_t ring_count(const struct ring *ring) {
    const uint8_t first = ring->first, end = ring->end;
    return (uint8_t)(end >= first ? end - first : ring->size - first + end);
}

static inline uint8_t ring_room(const struct ring *ring) {
    return (uint8_t)(ring->size - 1u - ring_count(ring));
}

static inline bool ring_put(struct ring *ring, uint8_t byte) {
    const uint8_t next = ring_after(ring, ring->end);
    if (next == ring->first) {
        return false;
    }
    ring->bytes[ring->end] = byte;
    ring->end = next;
    return true;
}

static inline bool ring_take(struct ring *ring, uint8_t *byte) {
    if (ring->first == ring->end) {
        return false;
    }
    *byte = ring->bytes[ring->first];
    ring->first = ring_after(ring, ring->first);
    return true;
}

#endif
