/* The control tick: from encoder counts to the motor. */
#ifndef CONTROL_H
#define CONTROL_H

#include "firmware_state.h"
#include "port.h"

/* Run a control tick that is due: encoders, policy, motor, report; in host mode up to the host. */
void firmware_tick(struct firmware *firmware, const struct port_tick *due);

/* Run one control tick on raw counts, `periods` nominal periods after the last one: check, observe,
 * infer, and return the duty that may be applied. It does not drive the motor, but it stops one
 * that may no longer run at once. */
void firmware_control(struct firmware *firmware, int32_t base_raw, int32_t pole_raw,
                      uint32_t periods);

/* Host mode: apply the output of the host's policy. False: it was too old, too early or not the
 * first for its tick, and nothing has changed. */
bool firmware_command(struct firmware *firmware, const struct wire_command_request *command);

#endif
