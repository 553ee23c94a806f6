/* What the parts of the host port share: a board made of a process, its pty and a plant channel. */
#ifndef HOST_H
#define HOST_H

#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire_table.h"

#define NS_PER_US 1000u
#define NS_PER_S 1000000000u

struct host_options {
    enum wire_clock clock;
    int plant_fd;        /* -1: no plant, the encoders stay at 0 */
    uint64_t compute_ns; /* time a policy call takes on a virtual clock */
    uint64_t fail_ns;    /* the first policy call from then on, by the device's clock, fails: */
    uint64_t stall_ns;   /* it takes so long on a virtual clock; 0: it never ends */
};

#define NEVER_NS UINT64_MAX

/* Where the watchdog starts the firmware again. */
extern sigjmp_buf host_restart;

/* Set the board up; false, with a message on stderr, when the system refuses. */
bool host_open(const struct host_options *options);

/* poll() that a stop signal ends even when it comes just before; `wait_ns` < 0 waits for ever. */
int host_poll(struct pollfd *polled, nfds_t count, int64_t wait_ns);

/* Whether the process shall end. */
bool host_stopping(void);

/* End the process at the next port_wait(); `why`, unless NULL, goes to stderr. */
void host_stop(const char *why);

/* CLOCK_MONOTONIC in ns. */
uint64_t host_monotonic_ns(void);

/* The serial line: a pty of this process's own, raw, without delay. Gives its name or NULL. */
const char *line_open(void);

enum line_event { LINE_NOTHING, LINE_BYTES, LINE_CLOSED };

/* Wait for bytes from the other end and meanwhile pass on what is still to be sent. */
enum line_event line_wait(int64_t wait_ns);

size_t line_read(uint8_t *bytes, size_t size);

/* Queue all of `bytes` or nothing (false); with `patient`, wait until there is room. */
bool line_write(const uint8_t *bytes, size_t size, bool patient);

/* What the plant's sensors read at one time. */
struct plant_sensors {
    int32_t base_count;
    int32_t pole_count;
    int32_t current_ma; /* of the motor; INT32_MIN: no such sensor */
};

/* Give whoever simulates the plant the time and the duty that holds from then on; take what the
 * sensors read at that time. */
void plant_exchange(int fd, uint64_t time_ns, float duty, struct plant_sensors *sensors);

#endif
