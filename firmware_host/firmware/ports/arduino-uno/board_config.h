/* Arduino Uno (and Nano): ATmega328P at 16 MHz. For another wiring, change this file.
 *
 *   serial line   USART 0, through the USB chip (pins 0, 1), 250000 baud: exact at 16 MHz
 *   base encoder  pin 2 is A, pin 3 is B (PD2, PD3), pulled up
 *   pole encoder  pin 4 is A, pin 5 is B (PD4, PD5), pulled up
 *   motor         pin 9 is PWM at 20 kHz (PB1, OC1A), pin 8 is direction (PB0; high: reverse),
 *                 pin 7 its opposite (PD7), pin 6 enable (PD6; high while the duty is not 0)
 *   limit switch  pin 12 (PB4), pulled up; normally closed, to ground */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_BAUD 250000u
#define BOARD_RECEIVE_SIZE 96u
#define BOARD_SEND_SIZE 160u

/* Four neighbouring pins of one port: base A, base B, pole A, pole B from ENCODER_SHIFT on. */
#define ENCODER_IN PIND
#define ENCODER_PULL_UP PORTD
#define ENCODER_SHIFT 2u
#define ENCODER_MASK PCMSK2
#define ENCODER_ENABLE PCIE2
#define ENCODER_vect PCINT2_vect

#define PWM_PORT PORTB
#define PWM_DDR DDRB
#define PWM_PIN PB1
#define DIRECTION_PORT PORTB
#define DIRECTION_DDR DDRB
#define DIRECTION_PIN PB0

#define OPPOSITE_PORT PORTD
#define OPPOSITE_DDR DDRD
#define OPPOSITE_PIN PD7
#define ENABLE_PORT PORTD
#define ENABLE_DDR DDRD
#define ENABLE_PIN PD6
#define LIMIT_PORT PORTB
#define LIMIT_IN PINB
#define LIMIT_PIN PB4

#define SERIAL_RECEIVED_vect USART_RX_vect
#define SERIAL_EMPTY_vect USART_UDRE_vect

#endif
