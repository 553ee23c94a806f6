/* What answers the interrupt SERIAL_INTERRUPT of board_config.h (board.c). */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

void on_serial(void);

#endif
