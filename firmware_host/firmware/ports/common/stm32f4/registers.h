/* Registers of the STM32F405 and F446 that their port uses: RM0090, section by section. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include "cortex_m.h"

/* 3.9 Flash interface */
#define FLASH_ACR REGISTER(0x40023C00u)
#define FLASH_ACR_168_MHZ (5u << 0 | 1u << 8 | 1u << 9 | 1u << 10) /* 5 waits, prefetch, caches */

/* 7.3 Reset and clock control */
#define RCC_CR REGISTER(0x40023800u)
#define RCC_PLLCFGR REGISTER(0x40023804u)
#define RCC_CFGR REGISTER(0x40023808u)
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define RCC_APB2ENR REGISTER(0x40023844u)
#define RCC_CSR REGISTER(0x40023874u)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18) /* a clock comes in, no crystal */
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_PLLCFGR_FROM_HSE (1u << 22)
#define RCC_PLLCFGR_KEPT (15u << 28)
#define RCC_CFGR_SW_PLL 2u
#define RCC_CFGR_PPRE1_4 (5u << 10) /* APB1 at 42 MHz, its timers at 84 MHz */
#define RCC_CFGR_PPRE2_2 (4u << 13) /* APB2 at 84 MHz, its timers at 168 MHz */
#define RCC_AHB1ENR_GPIOA (1u << 0)
#define RCC_AHB1ENR_GPIOB (1u << 1)
#define RCC_APB1ENR_TIM2 (1u << 0)
#define RCC_APB1ENR_TIM3 (1u << 1)
#define RCC_APB1ENR_TIM4 (1u << 2)
#define RCC_APB1ENR_TIM5 (1u << 3)
#define RCC_APB1ENR_USART2 (1u << 17)
#define RCC_APB2ENR_TIM1 (1u << 0)
#define RCC_APB2ENR_USART1 (1u << 4)
#define RCC_CSR_RMVF (1u << 24)
#define RCC_CSR_IWDGRSTF (1u << 29)

/* 8.4 General-purpose I/O */
struct gpio {
    volatile uint32_t moder, otyper, ospeedr, pupdr, idr, odr, bsrr, lckr, afr[2];
};
#define GPIOA ((struct gpio *)0x40020000u)
#define GPIOB ((struct gpio *)0x40020400u)

/* 17.4 and 18.4 Timers */
struct timer {
    volatile uint32_t cr1, cr2, smcr, dier, sr, egr, ccmr1, ccmr2, ccer, cnt, psc, arr, rcr;
    volatile uint32_t ccr[4], bdtr;
};
#define TIM1 ((struct timer *)0x40010000u)
#define TIM2 ((struct timer *)0x40000000u)
#define TIM3 ((struct timer *)0x40000400u)
#define TIM4 ((struct timer *)0x40000800u)
#define TIM5 ((struct timer *)0x40000C00u)
#define TIM_CR1_CEN (1u << 0)
#define TIM_EGR_UG (1u << 0)
#define TIM_SMCR_ENCODER_BOTH 3u /* counts the edges of both channels */
#define TIM_CCMR1_INPUTS (1u << 0 | 6u << 4 | 1u << 8 | 6u << 12) /* TI1, TI2; filter fDTS/4, 6 */
#define TIM_CCMR1_PWM1 (6u << 4 | 1u << 3)                        /* channel 1, preloaded */
#define TIM_CCER_CC1E (1u << 0)
#define TIM_BDTR_MOE (1u << 15)

/* 21.4 Independent watchdog */
#define IWDG_KR REGISTER(0x40003000u)
#define IWDG_PR REGISTER(0x40003004u)
#define IWDG_RLR REGISTER(0x40003008u)
#define IWDG_KR_UNLOCK 0x5555u
#define IWDG_KR_START 0xCCCCu
#define IWDG_KR_RESTART 0xAAAAu

/* 30.6 Universal synchronous asynchronous receiver transmitter */
struct usart {
    volatile uint32_t sr, dr, brr, cr1, cr2, cr3, gtpr;
};
#define USART1 ((struct usart *)0x40011000u)
#define USART2 ((struct usart *)0x40004400u)
#define USART1_INTERRUPT 37u
#define USART2_INTERRUPT 38u
#define USART_SR_ORE (1u << 3)
#define USART_SR_RXNE (1u << 5)
#define USART_SR_TXE (1u << 7)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_TXEIE (1u << 7)
#define USART_CR1_UE (1u << 13)

#endif
