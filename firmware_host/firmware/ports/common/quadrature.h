/* Quadrature decoding for boards whose timers cannot: a table of transitions. */
#ifndef QUADRATURE_H
#define QUADRATURE_H

#include <stdint.h>

/* Where both channels changed: an edge was missed, and nobody knows which way it went. */
#define QUADRATURE_LOST 2

/* Counts from one sample of an encoder's channels to the next: -1, 0 or 1, or QUADRATURE_LOST. A
 * sample is A | B << 1; forwards, A leads B: 0, 1, 3, 2. Here, so that an interrupt can be short.
 */
static inline int8_t quadrature_step(uint8_t before, uint8_t now) {
    const uint8_t changed = (before ^ now) & 3u;
    if (changed == 0) {
        return 0;
    }
    if (changed == 3u) {
        return QUADRATURE_LOST;
    }
    return ((before ^ now >> 1) & 1u) != 0 ? -1 : 1;
}

/* A counter that wraps at 2^16, extended to 32 bits: what it was, and what it reads. Right as long
 * as it moves less than 2^15 counts between two calls. */
int32_t quadrature_extend(int32_t count, uint16_t reading);

#endif
