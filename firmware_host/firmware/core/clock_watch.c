#include "clock_watch.h"

#include <string.h>

#define GRAIN 2u         /* counts by which a coarse second clock may be off */
#define STALL_PERIODS 4u /* without a tick; the watchdog waits for five */

void clock_watch_init(struct clock_watch *watch, uint32_t window) {
    memset(watch, 0, sizeof *watch);
    watch->window = window;
}

static bool too_much(const struct clock_watch *watch, uint32_t counts) {
    return counts > watch->normal + watch->normal / 2u + 1u;
}

static bool too_little(const struct clock_watch *watch, uint32_t counts) {
    return counts < watch->normal - watch->normal / 3u;
}

/* Two windows that agree are believed: an oscillator may take its time to start. */
static void learn(struct clock_watch *watch, uint32_t counts) {
    watch->known = counts != 0 && !too_much(watch, counts) && !too_little(watch, counts);
    watch->normal = counts;
    watch->stall = counts * STALL_PERIODS / watch->window + GRAIN;
}

bool clock_watch_tick(struct clock_watch *watch, uint32_t second, uint32_t periods) {
    const uint32_t counts = second - watch->start;
    bool agree = true;
    watch->at_tick = second;
    watch->ticks += periods;
    if (watch->known && watch->ticks <= watch->window && too_much(watch, counts)) {
        agree = false; /* no need to wait for the window's end */
    } else if (watch->begun && watch->ticks < watch->window) {
        return true;
    } else if (watch->begun && watch->ticks == watch->window) { /* else a window of another size */
        if (watch->known) {
            agree = !too_little(watch, counts);
        } else {
            learn(watch, counts);
        }
    }
    watch->begun = true;
    watch->ticks = 0;
    watch->start = second;
    return agree;
}

bool clock_watch_idle(const struct clock_watch *watch, uint32_t second) {
    return !watch->known || second - watch->at_tick <= watch->stall;
}
