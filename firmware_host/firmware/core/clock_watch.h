/* Two clocks that must agree: the one that makes the control ticks, and another timer or
 * oscillator. How fast the second one runs is learned over the first windows, while no motor can
 * run yet; from then on neither may go wrong by half. A second clock that never moves is none. */
#ifndef CLOCK_WATCH_H
#define CLOCK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct clock_watch {
    uint32_t window;  /* ticks in which the clocks are compared */
    uint32_t ticks;   /* of the present window */
    uint32_t start;   /* the second clock, when it began */
    uint32_t at_tick; /* the second clock, at the last tick */
    uint32_t normal;  /* its counts in a window */
    uint32_t stall;   /* its counts without a tick that are too many */
    bool begun;
    bool known; /* normal and stall are */
};

void clock_watch_init(struct clock_watch *watch, uint32_t window);

/* A tick, `periods` after the one before, when the second clock read `second`. False: it has gone
 * on by too much or too little since the window began. */
bool clock_watch_tick(struct clock_watch *watch, uint32_t second, uint32_t periods);

/* No tick yet. False: by the second clock one is long overdue. */
bool clock_watch_idle(const struct clock_watch *watch, uint32_t second);

#endif
