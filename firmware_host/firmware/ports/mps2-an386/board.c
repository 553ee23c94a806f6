/* MPS2 AN386: CMSDK UART and watchdog (DDI 0479), no pins. */
#include "board.h"

#include "board_config.h"
#include "cortex_m.h"
#include "firmware_config.h"
#include "interrupts.h"

/* DDI 0479 4.3 */
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CTRL REGISTER(0x40004008u)
#define UART_INTCLEAR REGISTER(0x4000400Cu)
#define UART_BAUDDIV REGISTER(0x40004010u)
#define UART_STATE_TX_FULL (1u << 0)
#define UART_STATE_RX_FULL (1u << 1)
#define UART_CTRL_BOTH_WAYS 0xFu /* transmit, receive, an interrupt for each */

/* DDI 0479 4.5: the first time-out interrupts, the second resets; it counts the 25 MHz clock. */
#define WATCHDOG_LOAD REGISTER(0x40008000u)
#define WATCHDOG_CONTROL REGISTER(0x40008008u)
#define WATCHDOG_INTCLEAR REGISTER(0x4000800Cu)

void on_uart(void) {
    uint8_t byte;
    UART_INTCLEAR = 3u;
    while ((UART_STATE & UART_STATE_RX_FULL) != 0) {
        serial_received((uint8_t)UART_DATA);
    }
    while ((UART_STATE & UART_STATE_TX_FULL) == 0 && serial_take(&byte)) {
        UART_DATA = byte;
    }
}

void board_start(void) {
    systick_start();
    UART_BAUDDIV = BOARD_CLOCK_HZ / BOARD_BAUD;
    UART_CTRL = UART_CTRL_BOTH_WAYS;
    nvic_enable(UART_RX_INTERRUPT);
    nvic_enable(UART_TX_INTERRUPT);
    WATCHDOG_LOAD = BOARD_WATCHDOG_COUNTS;
    WATCHDOG_CONTROL = 3u;
}

/* The line interrupts when it has sent a byte; the first one has to be put there. */
void board_serial(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    on_uart();
    __asm__ volatile("cpsie i" ::: "memory");
}

void board_encoders(int32_t *base_count, int32_t *pole_count) {
    *base_count = 0;
    *pole_count = 0;
}

void board_motor(float duty) {
    (void)duty;
}

void board_watchdog(void) {
    WATCHDOG_INTCLEAR = 1u; /* which also starts it over */
}
