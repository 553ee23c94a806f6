#include "deadlines.h"

uint64_t deadlines_take(uint64_t due_us, uint64_t now_us, uint32_t period_us,
                        struct port_tick *tick) {
    uint64_t late_us = now_us - due_us;
    tick->periods = 1;
    while (late_us >= period_us) { /* rare and few: cheaper than a 64-bit division on 8 bits */
        late_us -= period_us;
        tick->periods++;
    }
    tick->lateness_us = (int32_t)late_us;
    return now_us - late_us + period_us;
}
