/* The timer of boards whose Cortex-M has SysTick. It also wakes the core every millisecond. */
#include "board.h"
#include "cortex_m.h"
#include "firmware_config.h"

#define PERIOD (FIRMWARE_TIMER_HZ / 1000u)

static volatile uint32_t periods;

void systick_start(void) {
    SYST_RVR = PERIOD - 1u;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_ENABLE | SYST_CSR_TICKINT | SYST_CSR_CLKSOURCE;
}

void cortex_systick(void) {
    periods++;
}

uint32_t board_timer(void) {
    uint32_t before, left;
    do {
        before = periods;
        left = SYST_CVR;
    } while (before != periods); /* it started over in between: which period `left` is of? */
    return before * PERIOD + (PERIOD - 1u - left);
}
