/* Ticks of port_timer() to nanoseconds. */
#ifndef TIMER_H
#define TIMER_H

#include <stdint.h>

#include "firmware_config.h"

static inline uint32_t timer_ns(uint32_t ticks) {
    return (uint32_t)((uint64_t)ticks * 1000000000u / FIRMWARE_TIMER_HZ);
}

#endif
