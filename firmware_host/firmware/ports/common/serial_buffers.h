/* The bytes on their way between the line and the firmware: two ring buffers, of the sizes that
 * board_config.h gives. A board has one end of them, port.h the other. */
#ifndef SERIAL_BUFFERS_H
#define SERIAL_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The board's ends, for board_serial() and the line's interrupts. */

/* A byte has come. Dropped when the buffer is full: the frame's CRC will tell. */
void serial_received(uint8_t byte);

/* Whether the main thread has bytes to read: no time to nap. */
bool serial_waiting(void);

/* The next byte to send; false when there is none. */
bool serial_take(uint8_t *byte);

/* The port's ends, for the main thread. */

/* Take up to `size` received bytes. */
size_t serial_read(uint8_t *bytes, size_t size);

/* Queue all of `bytes` or, where there is no room, nothing (false). */
bool serial_write(const uint8_t *bytes, size_t size);

#endif
