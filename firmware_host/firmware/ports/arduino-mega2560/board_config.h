/* Arduino Mega 2560: ATmega2560 at 16 MHz. For another wiring, change this file.
 *
 *   serial line   USART 0, through the USB chip (pins 0, 1), 250000 baud: exact at 16 MHz
 *   base encoder  pin 53 is A, pin 52 is B (PB0, PB1), pulled up
 *   pole encoder  pin 51 is A, pin 50 is B (PB2, PB3), pulled up
 *   motor         pin 11 is PWM at 20 kHz (PB5, OC1A), pin 8 is direction (PH5; high: reverse),
 *                 pin 7 its opposite (PH4), pin 6 enable (PH3; high while the duty is not 0)
 *   limit switch  pin 12 (PB6), pulled up; normally closed, to ground */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_BAUD 250000u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

/* Four neighbouring pins of one port: base A, base B, pole A, pole B from ENCODER_SHIFT on. */
#define ENCODER_IN PINB
#define ENCODER_PULL_UP PORTB
#define ENCODER_SHIFT 0u
#define ENCODER_MASK PCMSK0
#define ENCODER_ENABLE PCIE0
#define ENCODER_vect PCINT0_vect

#define PWM_PORT PORTB
#define PWM_DDR DDRB
#define PWM_PIN PB5
#define DIRECTION_PORT PORTH
#define DIRECTION_DDR DDRH
#define DIRECTION_PIN PH5

#define OPPOSITE_PORT PORTH
#define OPPOSITE_DDR DDRH
#define OPPOSITE_PIN PH4
#define ENABLE_PORT PORTH
#define ENABLE_DDR DDRH
#define ENABLE_PIN PH3
#define LIMIT_PORT PORTB
#define LIMIT_IN PINB
#define LIMIT_PIN PB6

#define SERIAL_RECEIVED_vect USART0_RX_vect
#define SERIAL_EMPTY_vect USART0_UDRE_vect

#endif
