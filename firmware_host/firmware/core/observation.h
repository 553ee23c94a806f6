/* From encoder counts to what the policy observes. */
#ifndef OBSERVATION_H
#define OBSERVATION_H

#include <stdbool.h>
#include <stdint.h>

/* base_position (m or rad), base_velocity (m/s or rad/s), pole_angle_sin, pole_angle_cos (1),
 * pole_angular_velocity (rad/s). */
#define OBSERVATION_SIGNALS 5u

struct observation_scale {
    float base_unit_per_count;     /* m or rad */
    float base_speed_per_count;    /* m/s or rad/s: one count a nominal period */
    float pole_speed_per_count;    /* rad/s: one count a nominal period */
    uint64_t pole_phase_per_count; /* 2^64 is one turn */
};

/* A history of frames, oldest first, in the caller's buffer of frames * OBSERVATION_SIGNALS. */
struct observation {
    const struct observation_scale *scale;
    float *values;
    uint16_t frames;
    bool primed; /* a first frame has come */
    int32_t base_count;
    int32_t pole_count;
};

void observation_init(struct observation *observation, const struct observation_scale *scale,
                      float *values, uint16_t frames);

/* Forget the history: the next frame fills it, with no velocity. */
void observation_reset(struct observation *observation);

/* Add the frame of these counts (0 is a hanging pole), `periods` nominal periods after the last
 * one. */
void observation_push(struct observation *observation, int32_t base_count, int32_t pole_count,
                      uint32_t periods);

#endif
