/* STM32F405 and F446 at 168 MHz: encoders and PWM by timers, the serial line by interrupt. What
 * differs from board to board is in its board_config.h. Sections are those of RM0090; RM0390, of
 * the F446, has the same registers at the same places. */
#include "board.h"

#include "board_config.h"
#include "duty.h"
#include "firmware_config.h"
#include "interrupts.h"
#include "quadrature.h"
#include "registers.h"

#define PWM_TOP 8400u /* of 168 MHz: 20 kHz, beyond hearing */
#define PATIENCE 100000u
#define SECOND_TIMER_TRIAL 50000u /* counts of SysTick: 0.3 ms, less than its period */

enum pin_mode { PIN_OUTPUT = 1, PIN_ALTERNATE = 2 };

static void set_pin(struct gpio *port, unsigned pin, enum pin_mode mode, unsigned function) {
    const unsigned half = pin % 8u * 4u;
    port->afr[pin / 8u] = (port->afr[pin / 8u] & ~(15u << half)) | function << half;
    port->moder = (port->moder & ~(3u << 2u * pin)) | (uint32_t)mode << 2u * pin;
}

static void pull_up(struct gpio *port, unsigned pin) {
    port->pupdr = (port->pupdr & ~(3u << 2u * pin)) | 1u << 2u * pin;
}

static bool read_pin(const struct gpio *port, unsigned pin) {
    return (port->idr & 1u << pin) != 0;
}

static void write_pin(struct gpio *port, unsigned pin, bool high) {
    port->bsrr = high ? 1u << pin : 1u << (pin + 16u);
}

/* A clock that never gets ready must not hang the board: it keeps the one that it has. */
static bool ready(uint32_t flag) {
    for (uint32_t i = 0; i < PATIENCE; i++) {
        if ((RCC_CR & flag) != 0) {
            return true;
        }
    }
    return false;
}

/* 7.2.3: source / M = 1 MHz, x N = 336 MHz, / P = 168 MHz; / Q = 48 MHz. The F446 has a divider R
 * in bits that the F405 wants left as they are: both stay. */
static void start_clock(void) {
    uint32_t source_mhz = 16u, from = 0;
    if (BOARD_CRYSTAL_MHZ != 0u) {
        RCC_CR |= BOARD_CRYSTAL_BYPASS ? RCC_CR_HSEBYP : 0u;
        RCC_CR |= RCC_CR_HSEON;
        if (ready(RCC_CR_HSERDY)) {
            source_mhz = BOARD_CRYSTAL_MHZ;
            from = RCC_PLLCFGR_FROM_HSE;
        }
    }
    const uint32_t kept = RCC_PLLCFGR & RCC_PLLCFGR_KEPT;
    RCC_PLLCFGR = kept | source_mhz | 336u << 6 | 0u << 16 | from | 7u << 24;
    RCC_CR |= RCC_CR_PLLON;
    FLASH_ACR = FLASH_ACR_168_MHZ;
    RCC_CFGR = RCC_CFGR_PPRE1_4 | RCC_CFGR_PPRE2_2;
    if (ready(RCC_CR_PLLRDY)) {
        RCC_CFGR |= RCC_CFGR_SW_PLL;
    }
}

/* 18.3.12: encoder mode; the counter is 16 bits wide and wraps. */
static void start_encoder(struct timer *timer) {
    timer->ccmr1 = TIM_CCMR1_INPUTS;
    timer->smcr = TIM_SMCR_ENCODER_BOTH;
    timer->arr = 0xFFFFu;
    timer->cr1 = TIM_CR1_CEN;
}

/* 17.3.10: PWM mode 1, high while the counter is below the compare value. */
static void start_motor(void) {
    TIM1->psc = 0;
    TIM1->arr = PWM_TOP - 1u;
    TIM1->ccr[0] = 0;
    TIM1->ccmr1 = TIM_CCMR1_PWM1;
    TIM1->ccer = TIM_CCER_CC1E;
    TIM1->bdtr = TIM_BDTR_MOE;
    TIM1->egr = TIM_EGR_UG;
    TIM1->cr1 = TIM_CR1_CEN;
    set_pin(MOTOR_DIRECTION, PIN_OUTPUT, 0);
    set_pin(MOTOR_OPPOSITE, PIN_OUTPUT, 0);
    set_pin(MOTOR_ENABLE, PIN_OUTPUT, 0);
    pull_up(LIMIT_SWITCH); /* a broken wire reads as a pressed switch */
    set_pin(MOTOR_PWM, PIN_ALTERNATE, 1);
}

static void start_serial(void) {
    set_pin(SERIAL_SEND, PIN_ALTERNATE, 7);
    set_pin(SERIAL_RECEIVE, PIN_ALTERNATE, 7);
    pull_up(SERIAL_RECEIVE); /* an open line is an idle one */
    SERIAL->brr = (SERIAL_HZ + BOARD_BAUD / 2u) / BOARD_BAUD;
    SERIAL->cr1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE | USART_CR1_RXNEIE;
    nvic_enable(SERIAL_INTERRUPT);
}

static void start_encoder_pin(struct gpio *port, unsigned pin, unsigned function) {
    set_pin(port, pin, PIN_ALTERNATE, function);
    pull_up(port, pin);
}

static void start_encoders(void) {
    start_encoder_pin(BASE_A, BASE_FUNCTION);
    start_encoder_pin(BASE_B, BASE_FUNCTION);
    start_encoder_pin(POLE_A, POLE_FUNCTION);
    start_encoder_pin(POLE_B, POLE_FUNCTION);
    start_encoder(BASE_TIMER);
    start_encoder(POLE_TIMER);
}

/* 21.3: the slowest LSI that the data sheet allows still bites in time. */
static void start_watchdog(void) {
    IWDG_KR = IWDG_KR_START;
    IWDG_KR = IWDG_KR_UNLOCK;
    IWDG_PR = BOARD_WATCHDOG_DIVISOR;
    IWDG_RLR = BOARD_WATCHDOG_COUNTS;
    IWDG_KR = IWDG_KR_RESTART;
}

static bool second_timer_is_right;

/* 18.4.12: out of reset timer 5 has the whole of its 32 bits. It is of SysTick's crystal, but of no
 * part of the core, and runs at half its rate. One that does not, an emulator's, is no witness. */
static void start_second_timer(void) {
    TIM5->cr1 = TIM_CR1_CEN;
    const uint32_t start = TIM5->cnt, systick = SYST_CVR;
    uint32_t passed = 0;
    for (uint32_t i = 0; i < PATIENCE && passed < SECOND_TIMER_TRIAL; i++) {
        const uint32_t left = SYST_CVR;
        passed = left <= systick ? systick - left : systick + SYST_RVR + 1u - left;
    }
    const uint32_t counts = TIM5->cnt - start;
    second_timer_is_right =
        counts > passed / 2u - passed / 16u && counts < passed / 2u + passed / 16u;
}

uint32_t board_second_timer(void) {
    return second_timer_is_right ? TIM5->cnt : 0u;
}

void board_start(void) {
    RCC_AHB1ENR |= RCC_AHB1ENR_GPIOA | RCC_AHB1ENR_GPIOB;
    RCC_APB1ENR |= BOARD_APB1 | RCC_APB1ENR_TIM5;
    RCC_APB2ENR |= BOARD_APB2;
    start_motor();
    start_clock();
    systick_start();
    start_second_timer();
    start_encoders();
    start_serial();
    start_watchdog();
}

/* 30.3.3, 30.3.2. Reading SR, then DR, clears an overrun too. */
void on_serial(void) {
    uint8_t byte;
    while ((SERIAL->sr & (USART_SR_RXNE | USART_SR_ORE)) != 0) {
        serial_received((uint8_t)SERIAL->dr);
    }
    while ((SERIAL->sr & USART_SR_TXE) != 0) {
        if (!serial_take(&byte)) {
            SERIAL->cr1 &= ~USART_CR1_TXEIE;
            return;
        }
        SERIAL->dr = byte;
    }
    SERIAL->cr1 |= USART_CR1_TXEIE; /* more to come when there is room */
}

void board_serial(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    on_serial();
    __asm__ volatile("cpsie i" ::: "memory");
}

void board_encoders(int32_t *base_count, int32_t *pole_count) {
    static int32_t base, pole;
    base = quadrature_extend(base, (uint16_t)BASE_TIMER->cnt);
    pole = quadrature_extend(pole, (uint16_t)POLE_TIMER->cnt);
    *base_count = base;
    *pole_count = pole;
}

void board_motor(float duty) {
    const struct duty_pins pins = duty_pins(duty, PWM_TOP);
    write_pin(MOTOR_DIRECTION, pins.reverse);
    write_pin(MOTOR_OPPOSITE, !pins.reverse);
    write_pin(MOTOR_ENABLE, pins.compare != 0);
    TIM1->ccr[0] = pins.compare;
}

bool board_limit_switch(void) {
    return read_pin(LIMIT_SWITCH);
}

void board_watchdog(void) {
    IWDG_KR = IWDG_KR_RESTART;
}

bool board_watchdog_fired(void) {
    const bool fired = (RCC_CSR & RCC_CSR_IWDGRSTF) != 0;
    RCC_CSR |= RCC_CSR_RMVF;
    return fired;
}
