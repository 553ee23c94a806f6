#include "observation.h"

#include "angle.h"

void observation_init(struct observation *observation, const struct observation_scale *scale,
                      float *values, uint16_t frames) {
    observation->scale = scale;
    observation->values = values;
    observation->frames = frames;
    observation_reset(observation);
}

void observation_reset(struct observation *observation) {
    observation->primed = false;
    observation->base_count = 0;
    observation->pole_count = 0;
}

/* Counts may wrap; their difference modulo 2^32 is correct all the same. */
static float difference(int32_t now, int32_t before) {
    const uint32_t steps = (uint32_t)now - (uint32_t)before;
    return steps < 0x80000000u ? (float)steps : -(float)(0u - steps);
}

static void signals(const struct observation *observation, int32_t base_count, int32_t pole_count,
                    uint32_t periods, float frame[OBSERVATION_SIGNALS]) {
    const struct observation_scale *scale = observation->scale;
    float base_step = difference(base_count, observation->base_count);
    float pole_step = difference(pole_count, observation->pole_count);
    if (periods > 1) { /* deadlines were skipped: the steps took longer than one period */
        base_step /= (float)periods;
        pole_step /= (float)periods;
    }
    frame[0] = (float)base_count * scale->base_unit_per_count;
    frame[1] = base_step * scale->base_speed_per_count;
    angle_sin_cos(angle_pole_phase(pole_count, scale->pole_phase_per_count), &frame[2], &frame[3]);
    frame[4] = pole_step * scale->pole_speed_per_count;
}

void observation_push(struct observation *observation, int32_t base_count, int32_t pole_count,
                      uint32_t periods) {
    const uint32_t size = (uint32_t)observation->frames * OBSERVATION_SIGNALS;
    const uint32_t kept = observation->primed ? size - OBSERVATION_SIGNALS : 0;
    float frame[OBSERVATION_SIGNALS];

    if (!observation->primed) {
        observation->base_count = base_count;
        observation->pole_count = pole_count;
        observation->primed = true;
    }
    signals(observation, base_count, pole_count, periods, frame);
    for (uint32_t i = 0; i < kept; i++) {
        observation->values[i] = observation->values[i + OBSERVATION_SIGNALS];
    }
    for (uint32_t i = kept; i < size; i++) {
        observation->values[i] = frame[i % OBSERVATION_SIGNALS];
    }
    observation->base_count = base_count;
    observation->pole_count = pole_count;
}
