#include "duty.h"

struct duty_pins duty_pins(float duty, uint16_t top) {
    struct duty_pins pins = {.compare = 0, .reverse = duty < 0.0f};
    const float magnitude = pins.reverse ? -duty : duty;
    if (magnitude >= 1.0f) {
        pins.compare = top;
    } else if (magnitude > 0.0f) { /* false for NaN */
        pins.compare = (uint16_t)(magnitude * (float)top + 0.5f);
    }
    return pins;
}
