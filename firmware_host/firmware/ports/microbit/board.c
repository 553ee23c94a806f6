/* BBC micro:bit (nRF51 reference manual 3.0): timers in the place of SysTick, which it lacks. */
#include "board.h"

#include "board_config.h"
#include "cortex_m.h"
#include "firmware_config.h"
#include "interrupts.h"

/* 13 Clock management: the 16 MHz crystal */
#define CLOCK_HFCLKSTART REGISTER(0x40000000u)
#define CLOCK_HFCLKSTARTED REGISTER(0x40000100u)
#define CLOCK_LFCLKSTART REGISTER(0x40000008u)
#define PATIENCE 100000u

/* 12 Power: why it was reset */
#define POWER_RESETREAS REGISTER(0x40000400u)
#define POWER_RESETREAS_DOG (1u << 1)

/* 14 General-purpose I/O */
#define GPIO_OUTSET REGISTER(0x50000508u)
#define GPIO_DIRSET REGISTER(0x50000518u)
#define GPIO_PIN_CNF(pin) REGISTER(0x50000700u + 4u * (pin))
#define GPIO_PIN_CNF_PULLED_UP (3u << 2)

/* 18 Timer/counter, at 16 MHz: 0 runs free over 32 bits, 1 wakes the core each millisecond */
#define TIMER(n, offset) REGISTER(0x40008000u + 0x1000u * (n) + (offset))
#define TIMER_START(n) TIMER(n, 0x000u)
#define TIMER_CAPTURE0(n) TIMER(n, 0x040u)
#define TIMER_COMPARE0(n) TIMER(n, 0x140u)
#define TIMER_SHORTS(n) TIMER(n, 0x200u)
#define TIMER_INTENSET(n) TIMER(n, 0x304u)
#define TIMER_BITMODE(n) TIMER(n, 0x508u)
#define TIMER_PRESCALER(n) TIMER(n, 0x510u)
#define TIMER_CC0(n) TIMER(n, 0x540u)
#define TIMER_COMPARE0_CLEAR 1u
#define TIMER_COMPARE0_INTERRUPT (1u << 16)
#define TIMER_16_BITS 0u
#define TIMER_32_BITS 3u

/* 19 Real-time counter 1: 24 bits of the low-frequency clock */
#define RTC1_START REGISTER(0x40011000u)
#define RTC1_COUNTER REGISTER(0x40011504u)
#define RTC1_COUNTER_BITS 0x00FFFFFFu

/* 24 Watchdog: counts 32768 Hz */
#define WDT_START REGISTER(0x40010000u)
#define WDT_CRV REGISTER(0x40010504u)
#define WDT_RREN REGISTER(0x40010508u)
#define WDT_RR0 REGISTER(0x40010600u)
#define WDT_RELOAD 0x6E524635u

/* 29 Universal asynchronous receiver/transmitter; six bytes of receive buffer */
#define UART_STARTRX REGISTER(0x40002000u)
#define UART_STARTTX REGISTER(0x40002008u)
#define UART_RXDRDY REGISTER(0x40002108u)
#define UART_TXDRDY REGISTER(0x4000211Cu)
#define UART_INTENSET REGISTER(0x40002304u)
#define UART_ENABLE REGISTER(0x40002500u)
#define UART_PSELTXD REGISTER(0x4000250Cu)
#define UART_PSELRXD REGISTER(0x40002514u)
#define UART_RXD REGISTER(0x40002518u)
#define UART_TXD REGISTER(0x4000251Cu)
#define UART_BAUDRATE REGISTER(0x40002524u)
#define UART_RXDRDY_INTERRUPT (1u << 2)
#define UART_TXDRDY_INTERRUPT (1u << 7)

static bool sending;

static void send_next(void) {
    uint8_t byte;
    sending = serial_take(&byte);
    if (sending) {
        UART_TXD = byte;
    }
}

void on_uart(void) {
    while (UART_RXDRDY != 0) { /* one event a byte: clear it before the byte is taken */
        UART_RXDRDY = 0;
        serial_received((uint8_t)UART_RXD);
    }
    if (UART_TXDRDY != 0) {
        UART_TXDRDY = 0;
        send_next();
    }
}

void on_timer1(void) {
    TIMER_COMPARE0(1u) = 0;
}

static void start_timers(void) {
    TIMER_BITMODE(0u) = TIMER_32_BITS;
    TIMER_PRESCALER(0u) = 0;
    TIMER_START(0u) = 1;
    TIMER_BITMODE(1u) = TIMER_16_BITS;
    TIMER_PRESCALER(1u) = 0;
    TIMER_CC0(1u) = 16000u;
    TIMER_SHORTS(1u) = TIMER_COMPARE0_CLEAR;
    TIMER_INTENSET(1u) = TIMER_COMPARE0_INTERRUPT;
    TIMER_START(1u) = 1;
    nvic_enable(TIMER1_INTERRUPT);
}

static void start_serial(void) {
    GPIO_OUTSET = 1u << BOARD_TRANSMIT_PIN; /* an idle line is high */
    GPIO_DIRSET = 1u << BOARD_TRANSMIT_PIN;
    GPIO_PIN_CNF(BOARD_RECEIVE_PIN) = GPIO_PIN_CNF_PULLED_UP;
    UART_PSELTXD = BOARD_TRANSMIT_PIN;
    UART_PSELRXD = BOARD_RECEIVE_PIN;
    UART_BAUDRATE = BOARD_BAUD_REGISTER;
    UART_ENABLE = 4;
    UART_INTENSET = UART_RXDRDY_INTERRUPT | UART_TXDRDY_INTERRUPT;
    UART_STARTTX = 1;
    UART_STARTRX = 1;
    nvic_enable(UART_INTERRUPT);
}

void board_start(void) {
    CLOCK_HFCLKSTART = 1;
    for (uint32_t i = 0; i < PATIENCE && CLOCK_HFCLKSTARTED == 0; i++) {
    }
    CLOCK_LFCLKSTART = 1; /* of watchdog and RTC; the RC oscillator, by default */
    RTC1_START = 1;
    start_timers();
    start_serial();
    WDT_CRV = BOARD_WATCHDOG_COUNTS - 1u;
    WDT_RREN = 1;
    WDT_START = 1;
}

uint32_t board_timer(void) {
    TIMER_CAPTURE0(0u) = 1;
    return TIMER_CC0(0u);
}

uint32_t board_second_timer(void) {
    static uint32_t count;
    count += (RTC1_COUNTER - count) & RTC1_COUNTER_BITS;
    return count;
}

void board_serial(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    if (!sending) {
        send_next();
    }
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
    WDT_RR0 = WDT_RELOAD;
}

bool board_watchdog_fired(void) {
    const bool fired = (POWER_RESETREAS & POWER_RESETREAS_DOG) != 0;
    POWER_RESETREAS = POWER_RESETREAS_DOG; /* a written 1 clears */
    return fired;
}
