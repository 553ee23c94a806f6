/* Interrupts of this board, by the identifier of each peripheral, and what answers them (board.c).
 */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

#define UART_INTERRUPT 2u
void on_uart(void);

#define TIMER1_INTERRUPT 9u
void on_timer1(void);

#endif
