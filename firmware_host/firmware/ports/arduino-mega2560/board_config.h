/* Arduino Mega 2560: ATmega2560 at 16 MHz. For another wiring, change this file.
 *
 *   serial line   USART 0, through the USB chip (pins 0, 1), 250000 baud: exact at 16 MHz
 *   base encoder  pin A8 is A, pin A9 is B (PK0, PK1), pulled up
 *   pole encoder  pin A10 is A, pin A11 is B (PK2, PK3), pulled up
 *   motor         pin 11 is PWM at 20 kHz (PB5, OC1A), pin 12 is direction (PB6; high: reverse) */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_BAUD 250000u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

/* Four neighbouring pins of one port: base A, base B, pole A, pole B from ENCODER_SHIFT on. */
#define ENCODER_IN PINK
#define ENCODER_PULL_UP PORTK
#define ENCODER_SHIFT 0
#define ENCODER_MASK PCMSK2
#define ENCODER_ENABLE PCIE2
#define ENCODER_vect PCINT2_vect

#define MOTOR_PORT PORTB
#define MOTOR_DDR DDRB
#define MOTOR_PWM PB5
#define MOTOR_DIRECTION PB6

#define SERIAL_RECEIVED_vect USART0_RX_vect
#define SERIAL_EMPTY_vect USART0_UDRE_vect

#endif
