/* The vector table: where the processor starts, and what answers its interrupts. */
#include "interrupts.h"

#include "cortex_m.h"

__attribute__((section(".vectors"), used)) static const cortex_handler vectors[16 + 32] = {
    CORTEX_VECTORS,
    [16 + UART_INTERRUPT] = on_uart,
    [16 + TIMER1_INTERRUPT] = on_timer1,
};
