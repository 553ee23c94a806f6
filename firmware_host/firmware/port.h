/* What a board must provide: the whole of a port. The core calls these functions from one thread;
 * only an interrupt that fills the receive buffer may run beside them. A port also owns main(): it
 * sets up the board, passes a zeroed struct firmware to firmware_run() and, should that return,
 * leaves the motor off. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What port_wait() waited for. */
enum port_event {
    PORT_TICK,   /* a control tick is due */
    PORT_SERIAL, /* port_read() has bytes */
    PORT_IDLE,   /* nothing yet; only `second` of the tick is valid */
    PORT_STOP    /* the port ends, as a process may; a board never does */
};

/* A control tick that is due. */
struct port_tick {
    uint32_t periods;    /* since the tick before: 1, or more where deadlines were skipped */
    int32_t lateness_us; /* now, after the newest deadline */
    /* A free-running counter of a timer or oscillator other than that of the ticks. It is read
     * before the tick, so that it can only lag behind the ticks. Stays 0 where there is none. */
    uint32_t second;
};

/* Device clock, us since boot. Monotonic. */
uint64_t port_time_us(void);

/* Free-running timer for measuring code, at FIRMWARE_TIMER_HZ; wraps. */
uint32_t port_timer(void);

/* Account for a policy call that was measured to take `ns`, and return the time to report. A board
 * returns `ns`; a virtual clock advances by its modelled time and returns that. */
uint32_t port_inference_ns(uint32_t ns);

/* Sleep until the next event. Ticks lie on a fixed grid of RIG_PERIOD_US: a late one does not shift
 * those after it, and deadlines that passed meanwhile are counted, not run. On a port with a real
 * clock, PORT_TICK comes first. */
enum port_event port_wait(struct port_tick *tick);

/* Allow `ticks` control ticks before the next bytes are read. False where the clock moves itself.
 */
bool port_grant(uint32_t ticks);

/* Which clock this is (enum wire_clock). */
uint8_t port_clock(void);

/* Take up to `size` received bytes; never waits. */
size_t port_read(uint8_t *bytes, size_t size);

/* Send all of `bytes` (at most FRAME_MAX) or, when the line is full, nothing (false). Never delays
 * the control tick. */
bool port_write(const uint8_t *bytes, size_t size);

/* Raw encoder counts. */
void port_encoders(int32_t *base_count, int32_t *pole_count);

/* Impossible transitions of the encoders since boot, each of which means that an edge was missed. 0
 * where the hardware decodes them. */
uint32_t port_lost_edges(void);

/* True while the loop of the limit switches is open: one is pressed, or a wire is broken. Asked
 * only where the rig has some; a board without the input must say true. */
bool port_limit_switch(void);

/* Current of the motor in mA, of either sign, at the latest port_encoders(); PORT_CURRENT_UNKNOWN
 * on a board that cannot measure it. */
#define PORT_CURRENT_UNKNOWN INT32_MIN
int32_t port_current_ma(void);

/* Duty of the motor, -1 to 1; 0 lets it coast. Holds until the next call. */
void port_motor(float duty);

/* Restart the hardware watchdog, which turns the motor off when this stays away for more than
 * SAFETY_WATCHDOG_US. The core calls it after each PORT_TICK, and while the motor cannot run. */
void port_watchdog(void);

/* Whether the watchdog caused this start of the board. Asked once, at boot. */
bool port_watchdog_fired(void);

#endif
