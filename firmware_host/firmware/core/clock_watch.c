#include "clock_watch.h"

#include <string.h>

#define GRAIN 2u         /* counts by which a coarse second clock may be off */
#define STALL_PERIODS 4u /* without a tick; the watchdog waits for five */

void clock_watch_init(struct clock_watch *watch, uint32_t window) {
    memset(watch, 0, sizeof *watch);
    watch->window = window;
}

/* What the second clock should count in so many ticks; they are at most twice a window. */
static uint32_t expected(const struct clock_watch *watch, uint32_t ticks) {
    const uint32_t window = watch->window;
    return watch->normal / window * ticks + watch->normal % window * ticks / window;
}

static bool too_much(uint32_t normal, uint32_t counts) {
    return counts > normal + normal / 2u + 1u;
}

static bool too_little(uint32_t normal, uint32_t counts) {
    return counts < normal - normal / 3u;
}

/* Two windows that agree are believed: an oscillator may take its time to start. */
static void learn(struct clock_watch *watch, uint32_t counts) {
    const uint32_t normal = expected(watch, watch->ticks);
    watch->known = counts != 0 && !too_much(normal, counts) && !too_little(normal, counts);
    watch->normal = counts / watch->ticks * watch->window +
                    counts % watch->ticks * watch->window / watch->ticks;
    watch->stall = watch->normal * STALL_PERIODS / watch->window + GRAIN;
}

static void begin(struct clock_watch *watch, uint32_t second) {
    watch->begun = true;
    watch->ticks = 0;
    watch->start = second;
}

bool clock_watch_tick(struct clock_watch *watch, uint32_t second, uint32_t periods) {
    const uint32_t counts = second - watch->start;
    bool agree = true;
    watch->at_tick = second;
    if (periods > (watch->window + 1u) / 2u) {
        watch->begun = false;
        return true;
    }
    if (!watch->begun) {
        begin(watch, second);
        return true;
    }
    watch->ticks += periods;
    const bool over = watch->ticks >= watch->window;
    const uint32_t normal = expected(watch, over ? watch->ticks : watch->window);
    if (watch->known) {
        /* Of too much there is no need to wait for the window's end. */
        agree = !too_much(normal, counts) && !(over && too_little(normal, counts));
    } else if (over) {
        learn(watch, counts);
    }
    if (over || !agree) {
        begin(watch, second);
    }
    return agree;
}

bool clock_watch_idle(const struct clock_watch *watch, uint32_t second) {
    return !watch->known || second - watch->at_tick <= watch->stall;
}
