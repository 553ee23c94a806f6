/* The grid that control ticks stand on. */
#ifndef DEADLINES_H
#define DEADLINES_H

#include "port.h"

/* The tick that is due at `now_us`, given the oldest deadline that has not run (at or before now):
 * it is the newest deadline's, those before it are skipped. Gives the next deadline. */
uint64_t deadlines_take(uint64_t due_us, uint64_t now_us, uint32_t period_us,
                        struct port_tick *tick);

#endif
