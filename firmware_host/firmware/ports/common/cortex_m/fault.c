/* What the processor does where nothing can go on. */
#include "board.h"
#include "cortex_m.h"

void cortex_fault(void) {
    __asm__ volatile("cpsid i");
    board_motor(0.0f);
    for (;;) {
    }
}

/* Of a chip without SysTick, or a board that lets it be. */
__attribute__((weak)) void cortex_systick(void) {
    cortex_fault();
}
