/* STM32F405 boards: clock and pins. For another wiring, change this file.
 *
 *   serial line   USART1: PA9 transmits, PA10 receives, 230400 baud
 *   base encoder  TIM3:   PA6 is A, PA7 is B, pulled up
 *   pole encoder  TIM4:   PB6 is A, PB7 is B, pulled up
 *   motor         TIM1:   PA8 is PWM at 20 kHz, PB1 is direction (high: reverse) */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

/* Crystal in MHz (Olimex STM32-H405 8, Feather 12, Netduino Plus 2 25); 0: the internal 16 MHz RC,
 * there on every board but only within 1 %. */
#define BOARD_CRYSTAL_MHZ 0u

#define BOARD_BAUD 230400u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
