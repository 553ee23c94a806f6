/* Quadrature decoding for boards whose timers cannot: a table of transitions. */
#ifndef QUADRATURE_H
#define QUADRATURE_H

#include <stdint.h>

/* Counts from one sample of an encoder's channels to the next: -1, 0 or 1. A sample is
 * A | B << 1; forwards, A leads B: 0, 1, 3, 2. Where both channels changed, a transition was missed
 * and its way is unknown: 0. */
int8_t quadrature_step(uint8_t before, uint8_t now);

/* A counter that wraps at 2^16, extended to 32 bits: what it was, and what it reads. Right as long
 * as it moves less than 2^15 counts between two calls. */
int32_t quadrature_extend(int32_t count, uint16_t reading);

#endif
