/* The motor's duty as a PWM compare value and a direction. */
#ifndef DUTY_H
#define DUTY_H

#include <stdbool.h>
#include <stdint.h>

struct duty_pins {
    uint16_t compare; /* 0 (never on) to `top` (always on), rounded to nearest */
    bool reverse;     /* the direction pin */
};

/* Of a duty from -1 to 1; what lies beyond is clamped, and NaN stops the motor. */
struct duty_pins duty_pins(float duty, uint16_t top);

#endif
