/* STM32F405 boards: clock and pins. For another wiring, change this file.
 *
 *   serial line   USART1: PA9 transmits, PA10 receives, 230400 baud
 *   base encoder  TIM3:   PA6 is A, PA7 is B, pulled up
 *   pole encoder  TIM4:   PB6 is A, PB7 is B, pulled up
 *   motor         TIM1:   PA8 is PWM at 20 kHz, PB1 is direction (high: reverse), PB10
 *                         its opposite, PB0 enable (high while the duty is not 0)
 *   limit switch          PB5, pulled up; normally closed, to ground */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#include "registers.h"

/* Crystal in MHz (Olimex STM32-H405 8, Feather 12, Netduino Plus 2 25); 0: the internal 16 MHz RC,
 * there on every board but only within 1 %. */
#define BOARD_CRYSTAL_MHZ 0u
#define BOARD_CRYSTAL_BYPASS false

#define BOARD_APB1 (RCC_APB1ENR_TIM3 | RCC_APB1ENR_TIM4)
#define BOARD_APB2 (RCC_APB2ENR_TIM1 | RCC_APB2ENR_USART1)

#define SERIAL USART1
#define SERIAL_INTERRUPT USART1_INTERRUPT
#define SERIAL_HZ 84000000u
#define SERIAL_SEND GPIOA, 9
#define SERIAL_RECEIVE GPIOA, 10

#define BASE_TIMER TIM3
#define BASE_FUNCTION 2
#define BASE_A GPIOA, 6
#define BASE_B GPIOA, 7
#define POLE_TIMER TIM4
#define POLE_FUNCTION 2
#define POLE_A GPIOB, 6
#define POLE_B GPIOB, 7

#define MOTOR_PWM GPIOA, 8
#define MOTOR_DIRECTION GPIOB, 1
#define MOTOR_OPPOSITE GPIOB, 10
#define MOTOR_ENABLE GPIOB, 0
#define LIMIT_SWITCH GPIOB, 5

#define BOARD_BAUD 230400u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
