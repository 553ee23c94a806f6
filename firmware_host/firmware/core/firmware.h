/* The firmware: boot, then control ticks and frames from the host as they come. */
#ifndef FIRMWARE_H
#define FIRMWARE_H

#include "firmware_state.h"

/* Boot and run until the port stops, which a board never does. */
void firmware_run(struct firmware *firmware);

#endif
