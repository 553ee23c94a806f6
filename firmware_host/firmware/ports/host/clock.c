/* The clocks of the host port: the true time, the device's clock that makes the ticks, which a
 * fault that was ordered may spoil, and a second one beside it. */
#include <time.h>

#include "host.h"

static struct {
    enum wire_clock kind;
    enum host_fault fault;
    uint64_t fault_ns;   /* true time of it */
    uint64_t start_ns;   /* CLOCK_MONOTONIC at boot; of real time alone */
    uint64_t virtual_ns; /* true time of the virtual clocks */
} clocks;

static uint64_t system_ns(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t host_monotonic_ns(void) {
    return system_ns(CLOCK_MONOTONIC);
}

void clock_open(const struct host_options *options) {
    clocks.kind = options->clock;
    clocks.fault = options->fault;
    clocks.fault_ns = options->fault_ns;
    clocks.start_ns = host_monotonic_ns();
}

bool clock_is_virtual(void) {
    return clocks.kind != WIRE_CLOCK_REALTIME;
}

uint64_t clock_true_ns(void) {
    return clock_is_virtual() ? clocks.virtual_ns : host_monotonic_ns() - clocks.start_ns;
}

uint64_t clock_device_ns(void) {
    const uint64_t true_ns = clock_true_ns();
    if (true_ns < clocks.fault_ns) {
        return true_ns;
    }
    const uint64_t since_ns = true_ns - clocks.fault_ns;
    switch (clocks.fault) {
    case HOST_FREEZE:
        return clocks.fault_ns;
    case HOST_SLOW:
        return clocks.fault_ns + since_ns / 2;
    case HOST_FAST:
        return clocks.fault_ns + since_ns * 2;
    default:
        return true_ns;
    }
}

/* Another clock of the system than the ticks', which no daemon sets right. */
uint32_t clock_second_us(void) {
    const uint64_t ns = clock_is_virtual() ? clocks.virtual_ns : system_ns(CLOCK_MONOTONIC_RAW);
    return (uint32_t)(ns / NS_PER_US);
}

void clock_pass(uint64_t ns) {
    clocks.virtual_ns += ns;
}

void clock_reach(uint64_t device_ns) {
    const uint64_t now_ns = clock_device_ns();
    if (now_ns >= device_ns) {
        return;
    }
    const bool failed = clocks.virtual_ns >= clocks.fault_ns;
    uint64_t left_ns = device_ns - now_ns;
    if (failed && clocks.fault == HOST_SLOW) {
        left_ns *= 2;
    } else if (failed && clocks.fault == HOST_FAST) {
        left_ns /= 2;
    }
    clocks.virtual_ns += left_ns;
}

bool clock_stopped(uint64_t due_ns) {
    const bool stops = clocks.fault == HOST_FREEZE || clocks.fault == HOST_STOP_TICKS;
    const uint64_t ns = clock_is_virtual() ? due_ns : clock_true_ns();
    return stops && ns >= clocks.fault_ns;
}

bool clock_failed(enum host_fault fault) {
    return clocks.fault == fault && clock_true_ns() >= clocks.fault_ns;
}

void clock_repair(void) {
    clocks.fault = HOST_NO_FAULT;
}
