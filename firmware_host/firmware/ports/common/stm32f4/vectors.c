/* The vector table: where the processor starts, and what answers its interrupts. */
#include "interrupts.h"

#include "board_config.h"
#include "cortex_m.h"

__attribute__((section(".vectors"), used)) static const cortex_handler vectors[16 + 82] = {
    CORTEX_VECTORS,
    [16 + SERIAL_INTERRUPT] = on_serial,
};
