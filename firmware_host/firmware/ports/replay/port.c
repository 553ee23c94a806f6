/* The replay port: a firmware whose ticks, counts and frames all come from a script on stdin, and
 * whose frames go to stdout. It runs the policy and the core as they are, over a journal.
 *
 * In, little-endian: 'T' u32 periods, u64 time_us, i32 base_count, i32 pole_count, i32 current_ma,
 *                        u32 lost_edges, u32 limit_switch
 *                    'S' u8 size, bytes
 * Out:               u16 size, frame; size 0: all of the last input has been worked off. */
#include "port.h"

#include <stdio.h>

#include "wire_codec.h"
#include "wire_table.h"

#define TICK_SIZE 32u

static struct {
    uint64_t time_us;
    int32_t base_count;
    int32_t pole_count;
    int32_t current_ma;
    uint32_t lost_edges;
    uint32_t limit_switch;
    uint8_t bytes[UINT8_MAX];
    uint8_t size;
    uint8_t next;
} script = {.current_ma = PORT_CURRENT_UNKNOWN};

static bool take(uint8_t *bytes, size_t size) {
    return fread(bytes, 1, size, stdin) == size;
}

static bool put(const uint8_t *bytes, size_t size) {
    uint8_t head[2];
    wire_put_u16(head, (uint16_t)size);
    return fwrite(head, 1, sizeof head, stdout) == sizeof head &&
           fwrite(bytes, 1, size, stdout) == size;
}

static bool take_tick(struct port_tick *tick) {
    uint8_t bytes[TICK_SIZE];
    if (!take(bytes, sizeof bytes)) {
        return false;
    }
    const uint8_t *at = wire_get_u32(bytes, &tick->periods);
    at = wire_get_u64(at, &script.time_us);
    at = wire_get_i32(at, &script.base_count);
    at = wire_get_i32(at, &script.pole_count);
    at = wire_get_i32(at, &script.current_ma);
    at = wire_get_u32(at, &script.lost_edges);
    wire_get_u32(at, &script.limit_switch);
    tick->lateness_us = 0;
    tick->second = 0;
    return tick->periods > 0;
}

enum port_event port_wait(struct port_tick *tick) {
    uint8_t kind;
    if (script.next < script.size) {
        return PORT_SERIAL;
    }
    put(&kind, 0);
    fflush(stdout);
    if (!take(&kind, 1)) {
        return PORT_STOP;
    }
    if (kind == 'T') {
        return take_tick(tick) ? PORT_TICK : PORT_STOP;
    }
    script.next = 0;
    return kind == 'S' && take(&script.size, 1) && take(script.bytes, script.size) ? PORT_SERIAL
                                                                                   : PORT_STOP;
}

size_t port_read(uint8_t *bytes, size_t size) {
    size_t got = 0;
    while (got < size && script.next < script.size) {
        bytes[got++] = script.bytes[script.next++];
    }
    return got;
}

bool port_write(const uint8_t *bytes, size_t size) {
    return put(bytes, size);
}

uint64_t port_time_us(void) {
    return script.time_us;
}

uint32_t port_timer(void) {
    return 0;
}

uint32_t port_inference_ns(uint32_t ns) {
    return ns;
}

bool port_grant(uint32_t ticks) {
    (void)ticks;
    return false;
}

uint8_t port_clock(void) {
    return WIRE_CLOCK_REALTIME;
}

void port_encoders(int32_t *base_count, int32_t *pole_count) {
    *base_count = script.base_count;
    *pole_count = script.pole_count;
}

int32_t port_current_ma(void) {
    return script.current_ma;
}

uint32_t port_lost_edges(void) {
    return script.lost_edges;
}

bool port_limit_switch(void) {
    return script.limit_switch != 0;
}

void port_motor(float duty) {
    (void)duty;
}

void port_watchdog(void) {
}

bool port_watchdog_fired(void) {
    return false;
}
