/* ST Nucleo-F446RE (UM1724): clock and pins, all but the ST-LINK's on the Arduino headers.
 *
 *   serial line   USART2: PA2 (D1) transmits, PA3 (D0) receives, 230400 baud, to the ST-LINK's USB
 *   base encoder  TIM3:   PA6 (D12) is A, PA7 (D11) is B, pulled up
 *   pole encoder  TIM2:   PA0 (A0) is A, PA1 (A1) is B, pulled up
 *   motor         TIM1:   PA8 (D7) is PWM at 20 kHz, PB10 (D6) is direction (high: reverse),
 *                         PA10 (D2) its opposite, PA9 (D8) enable (high while the duty is not 0)
 *   limit switch          PB5 (D4), pulled up; normally closed, to ground */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#include "registers.h"

/* The ST-LINK's 8 MHz on the pin of a crystal (UM1724 6.7.1); without it the internal RC. */
#define BOARD_CRYSTAL_MHZ 8u
#define BOARD_CRYSTAL_BYPASS true

#define BOARD_APB1 (RCC_APB1ENR_TIM2 | RCC_APB1ENR_TIM3 | RCC_APB1ENR_USART2)
#define BOARD_APB2 RCC_APB2ENR_TIM1

#define SERIAL USART2
#define SERIAL_INTERRUPT USART2_INTERRUPT
#define SERIAL_HZ 42000000u
#define SERIAL_SEND GPIOA, 2
#define SERIAL_RECEIVE GPIOA, 3

#define BASE_TIMER TIM3
#define BASE_FUNCTION 2
#define BASE_A GPIOA, 6
#define BASE_B GPIOA, 7
#define POLE_TIMER TIM2
#define POLE_FUNCTION 1
#define POLE_A GPIOA, 0
#define POLE_B GPIOA, 1

#define MOTOR_PWM GPIOA, 8
#define MOTOR_DIRECTION GPIOB, 10
#define MOTOR_OPPOSITE GPIOA, 10
#define MOTOR_ENABLE GPIOA, 9
#define LIMIT_SWITCH GPIOB, 5

#define BOARD_BAUD 230400u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
