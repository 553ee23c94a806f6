/* What the board tells the host. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "firmware_state.h"

/* Send a message; counts it when the line is full. */
void firmware_send(struct firmware *firmware, uint8_t type, const uint8_t *payload, uint16_t size);

/* Acknowledge a request. */
void firmware_ack(struct firmware *firmware, uint8_t type, uint16_t sequence);

/* Tell the host if the state has changed. */
void firmware_tell(struct firmware *firmware);

/* Host mode: the counts of this tick, for the host's policy. */
void firmware_send_observation(struct firmware *firmware);

/* Report the last tick as done, with the duty that is applied. */
void firmware_send_tick(struct firmware *firmware);

#endif
