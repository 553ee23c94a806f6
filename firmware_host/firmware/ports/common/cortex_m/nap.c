/* Sleep until an interrupt. */
#include "board.h"

/* With interrupts masked WFI still wakes for a pending one (DDI 0419 B1.5.18), so none that comes
 * after the look at the buffer is slept through. */
void board_nap(uint32_t most_us) {
    if (most_us <= 1000u) {
        return; /* SysTick might wake us too late */
    }
    __asm__ volatile("cpsid i" ::: "memory");
    if (!serial_waiting()) {
        __asm__ volatile("wfi" ::: "memory");
    }
    __asm__ volatile("cpsie i" ::: "memory");
}
