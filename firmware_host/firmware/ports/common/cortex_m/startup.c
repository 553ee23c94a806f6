/* From reset to main(). */
#include "board.h"
#include "cortex_m.h"

extern uint32_t cortex_data_start, cortex_data_end, cortex_data_image, cortex_bss_start,
    cortex_bss_end;
int main(void);

void cortex_reset(void) {
#if defined(__ARM_FP)
    REGISTER(0xE000ED88u) |=
        0xFu << 20; /* CPACR (DDI 0403 B3.2.20): coprocessors 10, 11, the FPU */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    const uint32_t *image = &cortex_data_image;
    for (uint32_t *word = &cortex_data_start; word < &cortex_data_end;) {
        *word++ = *image++;
    }
    for (uint32_t *word = &cortex_bss_start; word < &cortex_bss_end;) {
        *word++ = 0;
    }
    main();
    cortex_fault();
}

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
