/* What a microcontroller board has to bring: five functions. board_port.c makes a port of them,
 * with the clock and the grid of ticks; serial_buffers.c has the bytes on their way and
 * board_main.c main(). A board without such common ground implements port.h itself, as the host
 * does.
 *
 * Beside them a board has a board_config.h: clock, pins, and BOARD_RECEIVE_SIZE and
 * BOARD_SEND_SIZE, the bytes of the serial buffers (at most 255; a frame and a byte or more). */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "serial_buffers.h"

/* Motor off first; then clocks, pins, serial line, timer, encoders, watchdog; interrupts on. */
void board_start(void);

/* A counter at FIRMWARE_TIMER_HZ, a whole number of MHz, that runs free and wraps at 2^32. Called
 * from the main thread alone. */
uint32_t board_timer(void);

/* Take bytes off the line (serial_received) and put bytes on it (serial_take), as far as that
 * needs no waiting. Called from the main thread in every turn; a board whose line interrupts only
 * has to set that going here. */
void board_serial(void);

/* Counts of both encoders, wrapping at 2^32. */
void board_encoders(int32_t *base_count, int32_t *pole_count);

/* Duty of the motor, -1 to 1; 0 lets it coast. */
void board_motor(float duty);

/* What a board may leave out: board_defaults.c then does nothing. */

/* Sleep until an interrupt, `most_us` at the longest; returning at once is right too. */
void board_nap(uint32_t most_us);

/* A counter of another timer or oscillator than board_timer()'s, of any rate above one count a
 * control period; wraps at 2^32. The firmware learns its rate and turns the motor off when the two
 * part. It need not move at all. */
uint32_t board_second_timer(void);

/* Transitions of the encoders since boot in which both channels changed: an edge was missed. */
uint32_t board_lost_edges(void);

/* True while the loop of the limit switches is open. The switches are normally closed, in series
 * from the pin to ground, so that a broken wire counts as a pressed one. */
bool board_limit_switch(void);

/* Restart the watchdog; whether it was the one that started the board. */
void board_watchdog(void);
bool board_watchdog_fired(void);

/* Current of the motor in mA, or PORT_CURRENT_UNKNOWN. */
int32_t board_current_ma(void);

#endif
