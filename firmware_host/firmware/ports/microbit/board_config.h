/* BBC micro:bit, first version: nRF51822, Cortex-M0 at 16 MHz. Serial line: through the USB
 * interface chip, 115200 baud. No encoders and no motor: processor in the loop only. */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_TRANSMIT_PIN 24u
#define BOARD_RECEIVE_PIN 25u
#define BOARD_BAUD_REGISTER 0x01D7E000u /* 115200 baud: reference manual 29.10, BAUDRATE */
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
