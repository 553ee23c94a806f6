/* From reset to main(). */
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
