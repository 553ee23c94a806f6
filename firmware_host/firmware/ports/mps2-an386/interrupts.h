/* Interrupts of this board (DAI 0386 3.7), and what answers them (board.c). */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

#define UART_RX_INTERRUPT 0u
#define UART_TX_INTERRUPT 1u
void on_uart(void);

#endif
