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

/* A fault that can be ordered, from a time on. */
enum host_fault {
    HOST_NO_FAULT,
    HOST_HANG,       /* the next policy call never ends */
    HOST_STALL,      /* it takes stall_ns of a virtual clock */
    HOST_SPIN,       /* the main loop turns without ticks and without the line */
    HOST_FREEZE,     /* the device's clock stands still; the main loop keeps running */
    HOST_STOP_TICKS, /* it runs, but its ticks do not come */
    HOST_RESET,      /* the board starts again, as after a fall of its supply */
    HOST_SLOW,       /* the clock runs at half of its rate */
    HOST_FAST        /* at twice its rate */
};

struct host_options {
    enum wire_clock clock;
    int plant_fd;        /* -1: no plant, the encoders stay at 0 */
    uint64_t compute_ns; /* time a policy call takes on a virtual clock */
    enum host_fault fault;
    uint64_t fault_ns; /* true time at which it comes */
    uint64_t stall_ns;
};

#define NEVER_NS UINT64_MAX

/* Where the watchdog starts the firmware again. */
extern sigjmp_buf host_restart;

/* The port (port.c). What a watchdog's reset does to it. */
void host_reset(void);

/* Set the board up; false, with a message on stderr, when the system refuses. */
bool host_open(const struct host_options *options);

/* The process (process.c): what ends it, and waiting for its files. */
void process_open(void);

/* poll() that a stop signal ends even when it comes just before; `wait_ns` < 0 waits for ever. */
int host_poll(struct pollfd *polled, nfds_t count, int64_t wait_ns);

/* Whether the process shall end. */
bool host_stopping(void);

/* End the process at the next port_wait(); `why`, unless NULL, goes to stderr. */
void host_stop(const char *why);

/* CLOCK_MONOTONIC in ns. */
uint64_t host_monotonic_ns(void);

/* The clocks (clock.c). True time is what passes for the plant; the device's clock makes the ticks
 * and is what a fault spoils; the second clock is beside it. */
void clock_open(const struct host_options *options);
bool clock_is_virtual(void);
uint64_t clock_true_ns(void);
uint64_t clock_device_ns(void);
uint32_t clock_second_us(void);

/* Let true time pass on a virtual clock: so much, or until the device's clock reads so much. */
void clock_pass(uint64_t ns);
void clock_reach(uint64_t device_ns);

/* Whether the tick that is due at `due_ns` cannot come; whether a fault has come; its end. */
bool clock_stopped(uint64_t due_ns);
bool clock_failed(enum host_fault fault);
void clock_repair(void);

/* The watchdog (watchdog.c); it sleeps while the board waits for host or plant. Beside a virtual
 * clock, watchdog_starve() gives it the time for which that clock's ticks have stayed away. */
void watchdog_start(void);
void watchdog_feed(void);
void watchdog_starve(uint64_t ns);
void watchdog_sleep(bool sleeps);
bool watchdog_has_bitten(void);

/* The serial line: a pty of this process's own, raw, without delay. Gives its name or NULL. */
const char *line_open(void);

enum line_event { LINE_NOTHING, LINE_BYTES, LINE_CLOSED };

/* Wait for bytes from the other end and meanwhile pass on what is still to be sent. */
enum line_event line_wait(int64_t wait_ns);

/* Forget what is still to be sent. */
void line_reset(void);

size_t line_read(uint8_t *bytes, size_t size);

/* Queue all of `bytes` or nothing (false); with `patient`, wait until there is room. */
bool line_write(const uint8_t *bytes, size_t size, bool patient);

/* What the plant's sensors read at one time. */
struct plant_sensors {
    int32_t base_count;
    int32_t pole_count;
    int32_t current_ma;    /* of the motor; INT32_MIN: no such sensor */
    uint32_t lost_edges;   /* since it began */
    uint32_t limit_switch; /* 1: open */
};

/* Give whoever simulates the plant the time and the duty that holds from then on; take what the
 * sensors read at that time. */
void plant_exchange(int fd, uint64_t time_ns, float duty, struct plant_sensors *sensors);

#endif
