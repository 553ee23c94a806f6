/* Sine and cosine of a turn's fraction, without libm. */
#ifndef ANGLE_H
#define ANGLE_H

#include <stdint.h>

/* Sine and cosine of phase * 2 pi / 2^32, each within 1.2e-7 of the exact value. The phase wraps
 * with the turn, so that no count of turns costs precision. */
void angle_sin_cos(uint32_t phase, float *sine, float *cosine);

/* The phase of an encoder that stands `count` counts from hanging, one count being
 * `phase_per_count` / 2^64 of a turn. Upright is phase 0: half a turn away. */
uint32_t angle_pole_phase(int32_t count, uint64_t phase_per_count);

#endif
