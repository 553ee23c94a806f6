/* The logic that the ports share, for ctypes. */
#include "deadlines.h"
#include "duty.h"
#include "quadrature.h"
#include "ring.h"

#include <stddef.h>

void shim_deadline(uint64_t due_us, uint64_t now_us, uint32_t period_us, uint64_t out[3]) {
    struct port_tick tick;
    out[0] = deadlines_take(due_us, now_us, period_us, &tick);
    out[1] = tick.periods;
    out[2] = (uint64_t)tick.lateness_us;
}

int32_t shim_duty(float duty, uint16_t top) {
    const struct duty_pins pins = duty_pins(duty, top);
    return pins.reverse ? -(int32_t)pins.compare : pins.compare;
}

int8_t shim_quadrature_step(uint8_t before, uint8_t now) {
    return quadrature_step(before, now);
}

/* Runs a script on a ring of `size`: 256 and more takes a byte, less puts that byte. Gives what
 * each brought: the byte taken, 1 for a byte put, -1 where that could not be; then count and room.
 */
void shim_ring(uint8_t size, const uint16_t *script, size_t steps, int16_t *out) {
    static uint8_t bytes[255];
    struct ring ring = {.bytes = bytes, .size = size};
    for (size_t i = 0; i < steps; i++) {
        uint8_t byte = (uint8_t)script[i];
        if (script[i] < 256) {
            out[3 * i] = ring_put(&ring, byte) ? 1 : -1;
        } else {
            out[3 * i] = ring_take(&ring, &byte) ? byte : -1;
        }
        out[3 * i + 1] = ring_count(&ring);
        out[3 * i + 2] = ring_room(&ring);
    }
}
