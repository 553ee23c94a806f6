/* SiFive HiFive1 (first version, FE310-G000: RV32IMAC) at its 16 MHz crystal, without the PLL.
 * Serial line: UART 0 through the USB interface chip, 230400 baud. No encoders and no motor:
 * processor in the loop only. */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_CLOCK_HZ 16000000u
#define BOARD_BAUD 230400u
#define BOARD_RECEIVE_PIN 16u
#define BOARD_TRANSMIT_PIN 17u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
