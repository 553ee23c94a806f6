/* HiFive1: chapters are those of the SiFive FE310-G000 manual. */
#include "board.h"

#include "board_config.h"
#include "firmware_config.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define PATIENCE 100000u

/* 6 Clock generation */
#define PRCI_HFXOSCCFG REGISTER(0x10008004u)
#define PRCI_PLLCFG REGISTER(0x10008008u)
#define PRCI_PLLOUTDIV REGISTER(0x1000800Cu)
#define PRCI_HFXOSC_ENABLE (1u << 30)
#define PRCI_HFXOSC_READY (1u << 31)
#define PRCI_PLL_SELECT (1u << 16)
#define PRCI_PLL_FROM_CRYSTAL (1u << 17)
#define PRCI_PLL_BYPASS (1u << 18)
#define PRCI_PLLOUT_BY_1 (1u << 8)

/* 8 Core-local interruptor: mtime counts a clock of about 32 kHz */
#define CLINT_MTIMECMP_LOW REGISTER(0x02004000u)
#define CLINT_MTIMECMP_HIGH REGISTER(0x02004004u)
#define CLINT_MTIME_LOW REGISTER(0x0200BFF8u)
#define CLINT_MTIME_HIGH REGISTER(0x0200BFFCu)

/* 9 Platform-level interrupt controller */
#define PLIC_PRIORITY(source) REGISTER(0x0C000000u + 4u * (source))
#define PLIC_ENABLE REGISTER(0x0C002000u)
#define PLIC_THRESHOLD REGISTER(0x0C200000u)
#define PLIC_CLAIM REGISTER(0x0C200004u)
#define UART0_INTERRUPT 3u

/* 12, 13 Always-on domain and watchdog: each write needs the key first */
#define AON_WDOGCFG REGISTER(0x10000000u)
#define AON_WDOGFEED REGISTER(0x10000018u)
#define AON_WDOGKEY REGISTER(0x1000001Cu)
#define AON_WDOGCMP REGISTER(0x10000020u)
#define AON_PMUCAUSE REGISTER(0x10000144u)
#define AON_KEY 0x51F15Eu
#define AON_FOOD 0xD09F00Du
#define AON_WDOG_RESETS (1u << 8)
#define AON_WDOG_ALWAYS (1u << 12)
#define AON_RESET_BY_WATCHDOG (2u << 8)

/* 17 General-purpose I/O: pins 16 and 17 are UART 0's, function 0 */
#define GPIO_IOF_EN REGISTER(0x10012038u)
#define GPIO_IOF_SEL REGISTER(0x1001203Cu)

/* 18 Universal asynchronous receiver/transmitter; eight bytes of buffer each way */
#define UART_TXDATA REGISTER(0x10013000u)
#define UART_RXDATA REGISTER(0x10013004u)
#define UART_TXCTRL REGISTER(0x10013008u)
#define UART_RXCTRL REGISTER(0x1001300Cu)
#define UART_IE REGISTER(0x10013010u)
#define UART_DIV REGISTER(0x10013018u)
#define UART_FULL (1u << 31)               /* of TXDATA */
#define UART_EMPTY (1u << 31)              /* of RXDATA */
#define UART_TX_WANTS_MORE (1u << 16 | 1u) /* enabled; interrupts below one byte */
#define UART_TX_INTERRUPT (1u << 0)
#define UART_RX_INTERRUPT (1u << 1)

/* Privileged architecture manual 3.1: bits of mstatus, mie and mcause */
#define MSTATUS_MIE (1u << 3)
#define MIE_TIMER (1u << 7)
#define MIE_EXTERNAL (1u << 11)
#define MCAUSE_EXTERNAL (1u << 31 | 11u)

#define NAP_UNIT_US 4096u

static uint32_t mtime_in_nap_unit;

static uint32_t cycles(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, mcycle" : "=r"(count)::"memory");
    return count;
}

/* 6.3: the crystal, past the PLL. Where it does not start, the board stays on its RC oscillator and
 * the host hears nothing it understands. */
static void start_clock(void) {
    PRCI_HFXOSCCFG = PRCI_HFXOSC_ENABLE;
    for (uint32_t i = 0; i < PATIENCE && (PRCI_HFXOSCCFG & PRCI_HFXOSC_READY) == 0; i++) {
    }
    PRCI_PLLOUTDIV = PRCI_PLLOUT_BY_1;
    PRCI_PLLCFG = PRCI_PLL_FROM_CRYSTAL | PRCI_PLL_BYPASS;
    if ((PRCI_HFXOSCCFG & PRCI_HFXOSC_READY) != 0) {
        PRCI_PLLCFG |= PRCI_PLL_SELECT;
    }
}

/* mtime may count a crystal or an RC oscillator (and in QEMU, 10 MHz): measured, not believed. */
static void measure_mtime(void) {
    const uint32_t start = cycles(), mtime = CLINT_MTIME_LOW;
    while (cycles() - start < NAP_UNIT_US * (BOARD_CLOCK_HZ / 1000000u)) {
    }
    mtime_in_nap_unit = CLINT_MTIME_LOW - mtime;
}

static void start_serial(void) {
    GPIO_IOF_SEL &= ~(1u << BOARD_RECEIVE_PIN | 1u << BOARD_TRANSMIT_PIN);
    GPIO_IOF_EN |= 1u << BOARD_RECEIVE_PIN | 1u << BOARD_TRANSMIT_PIN;
    UART_DIV = BOARD_CLOCK_HZ / BOARD_BAUD - 1u;
    UART_TXCTRL = UART_TX_WANTS_MORE;
    UART_RXCTRL = 1u;
    UART_IE = UART_RX_INTERRUPT;
    PLIC_PRIORITY(UART0_INTERRUPT) = 1u;
    PLIC_ENABLE = 1u << UART0_INTERRUPT;
    PLIC_THRESHOLD = 0u;
}

static void interrupts_off(void) {
    __asm__ volatile("csrc mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
}

static void interrupts_on(void) {
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
}

void board_start(void) {
    start_clock();
    measure_mtime();
    start_serial();
    AON_WDOGKEY = AON_KEY;
    AON_WDOGCMP = BOARD_WATCHDOG_COUNTS;
    AON_WDOGKEY = AON_KEY;
    AON_WDOGCFG = AON_WDOG_RESETS | AON_WDOG_ALWAYS | BOARD_WATCHDOG_DIVISOR;
    __asm__ volatile("csrw mie, %0" ::"r"(MIE_EXTERNAL));
    interrupts_on();
}

uint32_t board_timer(void) {
    return cycles();
}

uint32_t board_second_timer(void) {
    return CLINT_MTIME_LOW;
}

static void serve_line(void) {
    uint32_t data = UART_RXDATA;
    uint8_t byte;
    while ((data & UART_EMPTY) == 0) {
        serial_received((uint8_t)data);
        data = UART_RXDATA;
    }
    UART_IE = UART_RX_INTERRUPT;
    while ((UART_TXDATA & UART_FULL) == 0) {
        if (!serial_take(&byte)) {
            return;
        }
        UART_TXDATA = byte;
    }
    UART_IE = UART_RX_INTERRUPT | UART_TX_INTERRUPT; /* more to come when there is room */
}

void board_serial(void) {
    interrupts_off();
    serve_line();
    interrupts_on();
}

/* An interrupt of the line; all else is a fault, left to the watchdog. Named by start.S. */
__attribute__((interrupt("machine"), aligned(4))) void riscv_trap(void);
void riscv_trap(void) {
    uint32_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    while (cause != MCAUSE_EXTERNAL) {
    }
    const uint32_t source = PLIC_CLAIM;
    serve_line();
    PLIC_CLAIM = source;
}

/* 3.3.3: WFI wakes for an interrupt that mie enables even where mstatus masks it. */
void board_nap(uint32_t most_us) {
    const uint32_t wait = most_us / 128u * mtime_in_nap_unit / (NAP_UNIT_US / 128u);
    interrupts_off();
    if (wait > 2u && !serial_waiting()) {
        const uint64_t now = (uint64_t)CLINT_MTIME_HIGH << 32 | CLINT_MTIME_LOW;
        const uint64_t wake = now + wait - 2u; /* short of it: the rest is spent awake */
        CLINT_MTIMECMP_HIGH = UINT32_MAX;
        CLINT_MTIMECMP_LOW = (uint32_t)wake;
        CLINT_MTIMECMP_HIGH = (uint32_t)(wake >> 32);
        __asm__ volatile("csrs mie, %0\n wfi\n csrc mie, %0" ::"r"(MIE_TIMER) : "memory");
    }
    interrupts_on();
}

void board_encoders(int32_t *base_count, int32_t *pole_count) {
    *base_count = 0;
    *pole_count = 0;
}

void board_motor(float duty) {
    (void)duty;
}

void board_watchdog(void) {
    AON_WDOGKEY = AON_KEY;
    AON_WDOGFEED = AON_FOOD;
}

bool board_watchdog_fired(void) {
    return (AON_PMUCAUSE & (3u << 8)) == AON_RESET_BY_WATCHDOG;
}
