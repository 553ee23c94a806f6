/* Sine and cosine of a fraction of a turn, without libm. */
#ifndef ANGLE_H
#define ANGLE_H

#include <stdint.h>

/* Sine and cosine of phase * 2 pi / 2^32, each within 1.2e-7 of the exact value. The phase wraps
 * with the turn, so that no count of turns costs precision. */
void angle_sin_cos(uint32_t phase, float *sine, float *cosine);

/* The phase of a pole that is `count` counts from hanging, where one count is `phase_per_count` /
 * 2^64 of a turn. Upright, half a turn away, is phase 0. */
uint32_t angle_pole_phase(int32_t count, uint64_t phase_per_count);

#endif
