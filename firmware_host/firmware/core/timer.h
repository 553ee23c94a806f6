/* Ticks of port_timer() to nanoseconds. */
#ifndef TIMER_H
#define TIMER_H

#include <stdint.h>

#include "firmware_config.h"

static inline uint32_t timer_ns(uint32_t ticks) {
#if 1000000000u % FIRMWARE_TIMER_HZ == 0 /* saves small cores a 64-bit division */
    return ticks * (1000000000u / FIRMWARE_TIMER_HZ);
#else
    return (uint32_t)((uint64_t)ticks * 1000000000u / FIRMWARE_TIMER_HZ);
#endif
}

#endif
