/* What a policy as a shared library needs of port.h. */
#include <time.h>

#include "port.h"

uint32_t port_timer(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

void port_watchdog(void) {
    /* A library hangs with whoever called it. */
}
