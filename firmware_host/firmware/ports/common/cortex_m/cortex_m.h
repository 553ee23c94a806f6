/* What all Cortex-M have alike: Armv6-M (DDI 0419) and Armv7-M (DDI 0403) reference manuals. */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* B3.3: SysTick counts down from RVR to 0, then starts over. */
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_TICKINT (1u << 1)
#define SYST_CSR_CLKSOURCE (1u << 2) /* the processor's clock */

/* B3.4: a set bit enables an interrupt. */
static inline void nvic_enable(uint32_t interrupt) {
    REGISTER(0xE000E100u + interrupt / 32u * 4u) = 1u << interrupt % 32u;
}

typedef void (*cortex_handler)(void);

/* Where the processor starts (startup.c). */
void cortex_reset(void);

/* Motor off, then wait for the watchdog: faults, and interrupts that nobody wants (fault.c). */
void cortex_fault(void);

/* Counts the periods of SysTick, which systick.c has set up at 1 kHz from FIRMWARE_TIMER_HZ. */
void cortex_systick(void);
void systick_start(void);

extern uint32_t cortex_stack_top;

/* The sixteen entries that all vector tables begin with. */
#define CORTEX_VECTORS                                                                             \
    (cortex_handler) & cortex_stack_top, cortex_reset, cortex_fault, cortex_fault, cortex_fault,   \
        cortex_fault, cortex_fault, 0, 0, 0, 0, cortex_fault, cortex_fault, 0, cortex_fault,       \
        cortex_systick

#endif
