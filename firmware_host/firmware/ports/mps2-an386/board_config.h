/* Arm's MPS2 FPGA board with image AN386, as QEMU has it: a Cortex-M4F at 25 MHz. It has no
 * encoders and no motor: processor in the loop only. Serial line: UART 0, 230400 baud. */
#ifndef BOARD_CONFIG_H
#define BOARD_CONFIG_H

#define BOARD_CLOCK_HZ 25000000u
#define BOARD_BAUD 230400u
#define BOARD_RECEIVE_SIZE 255u
#define BOARD_SEND_SIZE 255u

#endif
