/* The host port: a POSIX process in the place of a board. */
#include "port.h"

#include <stdio.h>

#include "firmware_config.h"
#include "host.h"

#define PERIOD_NS ((uint64_t)RIG_PERIOD_US * NS_PER_US)

static struct {
    struct host_options options;
    uint64_t next_ns;             /* device clock of the next deadline */
    uint32_t granted;             /* lockstep: ticks that may run */
    uint32_t unheard;             /* fast: ticks run since bytes came */
    bool ticked;                  /* port_wait() gave a tick the last time */
    float duty;                   /* of the motor */
    struct plant_sensors sensors; /* as last seen */
} board;

bool host_open(const struct host_options *options) {
    process_open();
    board.options = *options;
    board.sensors.current_ma = PORT_CURRENT_UNKNOWN;
    clock_open(options);
    board.next_ns = PERIOD_NS;
    const char *name = line_open();
    if (name == NULL) {
        perror("cannot open a pty");
        return false;
    }
    printf("PTY %s\n", name);
    return fflush(stdout) == 0;
}

void host_reset(void) {
    clock_repair();
    clock_pass((uint64_t)SAFETY_WATCHDOG_US * NS_PER_US); /* what a real clock has shown */
    board.next_ns = clock_device_ns() + PERIOD_NS;
    line_reset();
}

uint64_t port_time_us(void) {
    return clock_device_ns() / NS_PER_US;
}

uint32_t port_timer(void) {
    return (uint32_t)(clock_is_virtual() ? clock_device_ns() : host_monotonic_ns());
}

/* The fault that was ordered, once: a policy call that takes long, or has no end. */
static uint64_t failing_ns(void) {
    while (clock_failed(HOST_HANG)) {
        __asm__ volatile(""); /* the watchdog's affair */
    }
    if (!clock_failed(HOST_STALL)) {
        return 0;
    }
    clock_repair();
    return board.options.stall_ns;
}

uint32_t port_inference_ns(uint32_t ns) {
    const uint64_t more_ns = failing_ns();
    if (!clock_is_virtual()) {
        return ns;
    }
    clock_pass(board.options.compute_ns + more_ns);
    return (uint32_t)(board.options.compute_ns + more_ns);
}

/* The newest deadline's tick; those that passed before it are skipped. */
static enum port_event due_tick(uint64_t now_ns, struct port_tick *tick) {
    const uint64_t late_ns = now_ns - board.next_ns;
    tick->periods = 1 + (uint32_t)(late_ns / PERIOD_NS);
    tick->lateness_us = (int32_t)(late_ns % PERIOD_NS / NS_PER_US);
    board.next_ns += tick->periods * PERIOD_NS;
    return PORT_TICK;
}

static enum port_event virtual_tick(struct port_tick *tick) {
    clock_reach(board.next_ns);
    return due_tick(clock_device_ns(), tick);
}

/* How long to sleep before a tick may run; 0: it may now; negative: until the host writes. */
static int64_t tick_wait_ns(void) {
    const uint64_t now_ns = clock_device_ns();
    if (clock_stopped(board.next_ns)) {
        return (int64_t)(PERIOD_NS / 4);
    }
    switch (board.options.clock) {
    case WIRE_CLOCK_LOCKSTEP:
        return board.granted > 0 ? 0 : -1;
    case WIRE_CLOCK_FAST: /* ahead of the host, but never so far that it seems lost */
        return board.unheard + 1 < SAFETY_LINK_TICKS ? 0 : (int64_t)(SAFETY_LINK_TICKS * PERIOD_NS);
    default:
        return now_ns < board.next_ns ? (int64_t)(board.next_ns - now_ns) : 0;
    }
}

static enum port_event take_tick(struct port_tick *tick) {
    board.ticked = true;
    if (!clock_is_virtual()) {
        return due_tick(clock_device_ns(), tick);
    }
    board.granted -= board.options.clock == WIRE_CLOCK_LOCKSTEP ? 1 : 0;
    board.unheard++;
    return virtual_tick(tick);
}

/* Whether the line is looked at before a tick that is due: always by the fast clock; in real time
 * after each tick, so that a host is heard even when every tick takes its whole period. */
static bool line_first(void) {
    return board.options.clock == WIRE_CLOCK_FAST ||
           (board.options.clock == WIRE_CLOCK_REALTIME && board.ticked);
}

/* Bytes of the host. A virtual clock stands still until it has spoken: what the firmware did before
 * is over then, however many requests without a tick it was, and the watchdog begins anew. A clock
 * whose ticks were stopped does not feed it. */
static enum line_event wait_for_host(int64_t wait_ns) {
    if (!clock_is_virtual()) {
        return line_wait(wait_ns);
    }
    watchdog_sleep(true);
    const enum line_event event = line_wait(wait_ns);
    watchdog_sleep(false);
    if (!clock_stopped(board.next_ns)) {
        watchdog_feed();
    } else if (event == LINE_NOTHING) {
        watchdog_starve((uint64_t)wait_ns);
    }
    return event;
}

enum port_event port_wait(struct port_tick *tick) {
    while (!host_stopping()) {
        tick->second = clock_second_us();
        const int64_t wait_ns = tick_wait_ns();
        const bool may_run = wait_ns == 0 || board.options.clock == WIRE_CLOCK_FAST;
        const bool is_due = may_run && !clock_stopped(board.next_ns);
        if (clock_failed(HOST_RESET)) {
            siglongjmp(host_restart, 1);
        }
        while (clock_failed(HOST_SPIN)) {
            __asm__ volatile("");
        }
        if (is_due && !line_first()) {
            return take_tick(tick);
        }
        board.ticked = false;
        switch (wait_for_host(wait_ns)) {
        case LINE_BYTES:
            board.unheard = 0;
            return PORT_SERIAL;
        case LINE_CLOSED:
            return PORT_STOP;
        case LINE_NOTHING:
            break;
        }
        if (is_due && !host_stopping()) {
            return take_tick(tick);
        }
        if (!clock_is_virtual()) {
            return PORT_IDLE;
        }
    }
    return PORT_STOP;
}

bool port_grant(uint32_t ticks) {
    board.granted = ticks;
    return board.options.clock == WIRE_CLOCK_LOCKSTEP;
}

uint8_t port_clock(void) {
    return (uint8_t)board.options.clock;
}

size_t port_read(uint8_t *bytes, size_t size) {
    return line_read(bytes, size);
}

bool port_write(const uint8_t *bytes, size_t size) {
    return line_write(bytes, size,
                      clock_is_virtual()); /* virtual time waits: nothing need be lost */
}

void port_encoders(int32_t *base_count, int32_t *pole_count) {
    if (board.options.plant_fd >= 0) {
        plant_exchange(board.options.plant_fd, clock_true_ns(), board.duty, &board.sensors);
    }
    *base_count = board.sensors.base_count;
    *pole_count = board.sensors.pole_count;
}

int32_t port_current_ma(void) {
    return board.sensors.current_ma;
}

void port_motor(float duty) {
    struct plant_sensors sensors; /* of the moment of actuation: not a sample, not kept */
    board.duty = duty;
    if (board.options.plant_fd >= 0) {
        plant_exchange(board.options.plant_fd, clock_true_ns(), duty, &sensors);
    }
}

bool port_limit_switch(void) {
    return board.sensors.limit_switch != 0;
}

uint32_t port_lost_edges(void) {
    return board.sensors.lost_edges;
}

void port_watchdog(void) {
    watchdog_feed();
}

bool port_watchdog_fired(void) {
    return watchdog_has_bitten();
}
