/* STM32F405 at 168 MHz: encoders and PWM by timers, the serial line by interrupt. */
#include "board.h"

#include "board_config.h"
#include "duty.h"
#include "quadrature.h"
#include "registers.h"

#define APB2_HZ 84000000u
#define PWM_TOP 8400u /* of 168 MHz: 20 kHz, beyond hearing */
#define PATIENCE 100000u

enum pin_mode { PIN_OUTPUT = 1, PIN_ALTERNATE = 2 };

static void set_pin(struct gpio *port, unsigned pin, enum pin_mode mode, unsigned function) {
    const unsigned half = pin % 8u * 4u;
    port->afr[pin / 8u] = (port->afr[pin / 8u] & ~(15u << half)) | function << half;
    port->moder = (port->moder & ~(3u << 2u * pin)) | (uint32_t)mode << 2u * pin;
}

static void pull_up(struct gpio *port, unsigned pin) {
    port->pupdr = (port->pupdr & ~(3u << 2u * pin)) | 1u << 2u * pin;
}

/* A clock that never gets ready must not hang the board: it goes on with the one it has. */
static bool ready(uint32_t flag) {
    for (uint32_t i = 0; i < PATIENCE; i++) {
        if ((RCC_CR & flag) != 0) {
            return true;
        }
    }
    return false;
}

/* 7.2.3: source / M = 1 MHz, x N = 336 MHz, / P = 168 MHz; / Q = 48 MHz. */
static void start_clock(void) {
    uint32_t source_mhz = 16u, from = 0;
    if (BOARD_CRYSTAL_MHZ != 0u) {
        RCC_CR |= RCC_CR_HSEON;
        if (ready(RCC_CR_HSERDY)) {
            source_mhz = BOARD_CRYSTAL_MHZ;
            from = RCC_PLLCFGR_FROM_HSE;
        }
    }
    RCC_PLLCFGR = source_mhz | 336u << 6 | 0u << 16 | from | 7u << 24;
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
    set_pin(GPIOB, 1, PIN_OUTPUT, 0);
    set_pin(GPIOA, 8, PIN_ALTERNATE, 1);
}

static void start_serial(void) {
    set_pin(GPIOA, 9, PIN_ALTERNATE, 7);
    set_pin(GPIOA, 10, PIN_ALTERNATE, 7);
    pull_up(GPIOA, 10); /* an open line is an idle one */
    USART1_BRR = (APB2_HZ + BOARD_BAUD / 2u) / BOARD_BAUD;
    USART1_CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE | USART_CR1_RXNEIE;
    nvic_enable(USART1_INTERRUPT);
}

static void start_encoders(void) {
    for (unsigned pin = 6; pin <= 7; pin++) {
        set_pin(GPIOA, pin, PIN_ALTERNATE, 2);
        set_pin(GPIOB, pin, PIN_ALTERNATE, 2);
        pull_up(GPIOA, pin);
        pull_up(GPIOB, pin);
    }
    start_encoder(TIM3);
    start_encoder(TIM4);
}

/* 21.3: 32 kHz / 16 / 500: a quarter of a second. */
static void start_watchdog(void) {
    IWDG_KR = IWDG_KR_START;
    IWDG_KR = IWDG_KR_UNLOCK;
    IWDG_PR = 2;
    IWDG_RLR = 500;
    IWDG_KR = IWDG_KR_RESTART;
}

void board_start(void) {
    RCC_AHB1ENR |= RCC_AHB1ENR_GPIOA | RCC_AHB1ENR_GPIOB;
    RCC_APB1ENR |= RCC_APB1ENR_TIM3 | RCC_APB1ENR_TIM4;
    RCC_APB2ENR |= RCC_APB2ENR_TIM1 | RCC_APB2ENR_USART1;
    start_motor();
    start_clock();
    systick_start();
    start_encoders();
    start_serial();
    start_watchdog();
}

/* 30.3.3, 30.3.2. Reading SR, then DR, clears an overrun too. */
static void on_usart1(void) {
    uint8_t byte;
    while ((USART1_SR & (USART_SR_RXNE | USART_SR_ORE)) != 0) {
        serial_received((uint8_t)USART1_DR);
    }
    while ((USART1_SR & USART_SR_TXE) != 0) {
        if (!serial_take(&byte)) {
            USART1_CR1 &= ~USART_CR1_TXEIE;
            return;
        }
        USART1_DR = byte;
    }
    USART1_CR1 |= USART_CR1_TXEIE; /* more to come when there is room */
}

void board_serial(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    on_usart1();
    __asm__ volatile("cpsie i" ::: "memory");
}

void board_encoders(int32_t *base_count, int32_t *pole_count) {
    static int32_t base, pole;
    base = quadrature_extend(base, (uint16_t)TIM3->cnt);
    pole = quadrature_extend(pole, (uint16_t)TIM4->cnt);
    *base_count = base;
    *pole_count = pole;
}

void board_motor(float duty) {
    const struct duty_pins pins = duty_pins(duty, PWM_TOP);
    GPIOB->bsrr = pins.reverse ? 1u << 1 : 1u << 17;
    TIM1->ccr[0] = pins.compare;
}

void board_watchdog(void) {
    IWDG_KR = IWDG_KR_RESTART;
}

bool board_watchdog_fired(void) {
    const bool fired = (RCC_CSR & RCC_CSR_IWDGRSTF) != 0;
    RCC_CSR |= RCC_CSR_RMVF;
    return fired;
}

__attribute__((section(".vectors"), used)) static const cortex_handler vectors[16 + 82] = {
    CORTEX_VECTORS,
    [16 + USART1_INTERRUPT] = on_usart1,
};
