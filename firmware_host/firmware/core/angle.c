#include "angle.h"

#include <stdbool.h>

#define RAD_PER_PHASE 1.46291807926715968105e-9f /* 2 pi / 2^32 */

/* Taylor series to x^9 and x^8: what they leave out is under 4e-9 for |x| <= pi / 4. */
static float sine_near_zero(float x) {
    const float xx = x * x;
    return x +
           x * xx *
               (-1.6666667e-1f + xx * (8.3333333e-3f + xx * (-1.9841270e-4f + xx * 2.7557319e-6f)));
}

static float cosine_near_zero(float x) {
    const float xx = x * x;
    return 1.0f + xx * (-0.5f + xx * (4.1666667e-2f + xx * (-1.3888889e-3f + xx * 2.4801587e-5f)));
}

void angle_sin_cos(uint32_t phase, float *sine, float *cosine) {
    const uint32_t quadrant = (phase + 0x20000000u) >> 30; /* nearest multiple of a right angle */
    const uint32_t rest = phase - (quadrant << 30); /* within 45 degrees of it, modulo 2^32 */
    const bool negative = rest >= 0x80000000u;
    const float magnitude = (float)(negative ? 0u - rest : rest) * RAD_PER_PHASE;
    const float s = sine_near_zero(negative ? -magnitude : magnitude);
    const float c = cosine_near_zero(magnitude);
    switch (quadrant & 3u) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
        break;
    }
}

uint32_t angle_pole_phase(int32_t count, uint64_t phase_per_count) {
    const uint64_t turned = (uint64_t)(int64_t)count * phase_per_count;
    const uint64_t rounded = turned + 0x80000000u;
    return (uint32_t)(rounded >> 32) + 0x80000000u;
}
