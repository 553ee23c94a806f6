/* Two clocks that must agree: the one that makes the control ticks, and another timer or
 * oscillator. The speed of the second one is learned over the first windows, while no motor can run
 * yet; after that, neither may be off by half. A second clock that never moves counts as absent.
 *
 * A window is at least so many ticks; those that a busy board skips count as they pass, so that
 * one which skips some in every window is watched as any other. After a pause of half a window,
 * which ends every run (OVERRUN), the next tick begins anew: the second clock may have been read
 * before it. */
#ifndef CLOCK_WATCH_H
#define CLOCK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct clock_watch {
    uint32_t window;  /* least ticks in which the clocks are compared */
    uint32_t ticks;   /* of the present window */
    uint32_t start;   /* the second clock, when it began */
    uint32_t at_tick; /* the second clock, at the last tick */
    uint32_t normal;  /* its counts in a window */
    uint32_t stall;   /* its counts without a tick that are too many */
    bool begun;
    bool known; /* normal and stall are */
};

void clock_watch_init(struct clock_watch *watch, uint32_t window);

/* A tick, `periods` after the last one, at which the second clock read `second`. False: the second
 * clock has advanced by too much or too little since the window began. */
bool clock_watch_tick(struct clock_watch *watch, uint32_t second, uint32_t periods);

/* There is no tick yet. False: by the second clock, one is long overdue. */
bool clock_watch_idle(const struct clock_watch *watch, uint32_t second);

#endif
