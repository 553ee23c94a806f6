/* port.h for any microcontroller, on the few functions of board.h. */
#include "board.h"
#include "deadlines.h"
#include "firmware_config.h"
#include "port.h"
#include "serial_buffers.h"
#include "wire_table.h"

#define TICKS_PER_US (FIRMWARE_TIMER_HZ / 1000000u)

typedef char timer_counts_whole_mhz[FIRMWARE_TIMER_HZ % 1000000u == 0 ? 1 : -1];

static struct {
    uint64_t time_us;
    uint64_t due_us; /* next control tick */
    uint32_t timer;  /* at time_us */
    bool ticked;     /* port_wait() gave a tick the last time */
} port_clock_state = {.due_us = RIG_PERIOD_US};

/* Extends the timer; runs in every turn of port_wait(), far more often than the timer wraps. A
 * timer that steps back has lost its interrupt: time stands still then, which the watchdog sees. */
uint64_t port_time_us(void) {
    const uint32_t moved = board_timer() - port_clock_state.timer;
    const uint32_t us = moved < 0x80000000u ? moved / TICKS_PER_US : 0u;
    port_clock_state.timer += us * TICKS_PER_US;
    port_clock_state.time_us += us;
    return port_clock_state.time_us;
}

uint32_t port_timer(void) {
    return board_timer();
}

uint32_t port_inference_ns(uint32_t ns) {
    return ns;
}

enum port_event port_wait(struct port_tick *tick) {
    bool after_tick = port_clock_state.ticked;
    port_clock_state.ticked = false;
    for (;; after_tick = false) {
        board_serial();
        tick->second = board_second_timer();
        const uint64_t now_us = port_time_us();
        const uint64_t due_us = port_clock_state.due_us;
        /* A tick that took its whole period lets the host speak before the next one. */
        const bool host_first = after_tick && serial_waiting();
        if (now_us >= due_us && !host_first) {
            port_clock_state.due_us = deadlines_take(due_us, now_us, RIG_PERIOD_US, tick);
            port_clock_state.ticked = true;
            return PORT_TICK;
        }
        if (serial_waiting()) {
            return PORT_SERIAL;
        }
        if (now_us < due_us) {
            board_nap((uint32_t)(due_us - now_us));
            return PORT_IDLE;
        }
    }
}

bool port_grant(uint32_t ticks) {
    (void)ticks;
    return false;
}

uint8_t port_clock(void) {
    return WIRE_CLOCK_REALTIME;
}

size_t port_read(uint8_t *bytes, size_t size) {
    return serial_read(bytes, size);
}

bool port_write(const uint8_t *bytes, size_t size) {
    const bool has_room = serial_write(bytes, size);
    if (has_room) {
        board_serial();
    }
    return has_room;
}

void port_encoders(int32_t *base_count, int32_t *pole_count) {
    board_encoders(base_count, pole_count);
}

uint32_t port_lost_edges(void) {
    return board_lost_edges();
}

bool port_limit_switch(void) {
    return board_limit_switch();
}

int32_t port_current_ma(void) {
    return board_current_ma();
}

void port_motor(float duty) {
    board_motor(duty);
}

void port_watchdog(void) {
    board_watchdog();
}

bool port_watchdog_fired(void) {
    return board_watchdog_fired();
}
