/* The firmware as a process: `firmware [--clock C] [--plant-fd N] ...`; see USAGE. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware.h"
#include "firmware_config.h"
#include "host.h"

static const char USAGE[] =
    "usage: firmware [--clock realtime|lockstep|fast] [--plant-fd N] [--compute-us N]\n"
    "                [--fault hang|stall|spin|freeze|stop-ticks|reset|slow|fast --fault-at-us N]\n"
    "  --clock       what moves time; by default realtime\n"
    "  --plant-fd    open socket to whoever simulates the plant; by default the encoders stay at "
    "0\n"
    "  --compute-us  time of a policy call on the virtual clocks\n"
    "  --fault       what goes wrong at --fault-at-us: a policy call never ends, or takes\n"
    "                --stall-us of a virtual clock; the main loop turns without ticks; the clock\n"
    "                stands still, its ticks do not come, the board restarts, the clock runs at "
    "half or twice its rate\n"
    "Prints `PTY path` and serves there until that is closed, or SIGTERM.\n";

static bool read_clock(const char *text, enum wire_clock *clock) {
    static const char *const NAMES[] = {
        [WIRE_CLOCK_REALTIME] = "realtime",
        [WIRE_CLOCK_LOCKSTEP] = "lockstep",
        [WIRE_CLOCK_FAST] = "fast",
    };
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *clock = (enum wire_clock)i;
            return true;
        }
    }
    return false;
}

static bool read_number(const char *text, long most, long *number) {
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number >= 0 && *number <= most;
}

static bool read_fault(const char *text, enum host_fault *fault) {
    static const char *const NAMES[] = {
        [HOST_HANG] = "hang",     [HOST_STALL] = "stall",           [HOST_SPIN] = "spin",
        [HOST_FREEZE] = "freeze", [HOST_STOP_TICKS] = "stop-ticks", [HOST_SLOW] = "slow",
        [HOST_FAST] = "fast",     [HOST_RESET] = "reset",
    };
    for (int i = HOST_HANG; i <= HOST_FAST; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *fault = (enum host_fault)i;
            return true;
        }
    }
    return false;
}

static bool read_us(const char *text, uint64_t *ns) {
    long number;
    if (!read_number(text, 1000000000, &number)) {
        return false;
    }
    *ns = (uint64_t)number * NS_PER_US;
    return true;
}

static bool read_option(const char *name, const char *value, struct host_options *options) {
    long number;
    if (strcmp(name, "--clock") == 0) {
        return read_clock(value, &options->clock);
    }
    if (strcmp(name, "--plant-fd") == 0 && read_number(value, 1 << 20, &number)) {
        options->plant_fd = (int)number;
        return true;
    }
    if (strcmp(name, "--compute-us") == 0 && read_number(value, RIG_PERIOD_US - 1, &number)) {
        options->compute_ns = (uint64_t)number * NS_PER_US;
        return true;
    }
    if (strcmp(name, "--fault") == 0) {
        return read_fault(value, &options->fault);
    }
    if (strcmp(name, "--fault-at-us") == 0) {
        return read_us(value, &options->fault_ns);
    }
    return strcmp(name, "--stall-us") == 0 && read_us(value, &options->stall_ns);
}

int main(int count, char **arguments) {
    static struct firmware firmware;
    struct host_options options = {
        .clock = WIRE_CLOCK_REALTIME,
        .plant_fd = -1,
        .compute_ns = FIRMWARE_COMPUTE_NS,
        .fault_ns = NEVER_NS,
    };
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count || !read_option(arguments[i], arguments[i + 1], &options)) {
            fprintf(stderr, "firmware: cannot take %s\n%s", arguments[i], USAGE);
            return 2;
        }
    }
    if (!host_open(&options)) {
        return 1;
    }
    if (sigsetjmp(host_restart, 1) != 0) {
        memset(&firmware, 0, sizeof firmware); /* as a reset leaves it */
        host_reset();
    }
    watchdog_start();
    firmware_run(&firmware);
    return 0;
}
