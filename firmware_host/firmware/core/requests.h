/* What the host may ask. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "firmware_state.h"

/* Answer a frame of the host. */
void firmware_answer(struct firmware *firmware, const struct frame *frame);

#endif
