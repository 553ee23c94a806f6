/* The host port's watchdog: a timer of the system that starts the firmware again when no control
 * tick feeds it. It counts the signals that reach this process, so that a process which the system
 * stopped, or left waiting, is not bitten for that: all its missed signals are one. Beside a
 * virtual clock the timer is that of the processor time which this process takes, so that nothing
 * there depends on how busy the machine is. */
#include <signal.h>
#include <sys/time.h>

#include "firmware_config.h"
#include "host.h"

#define PARTS 5 /* it bites between four and five of them after the last feeding */

#define PART_US (SAFETY_WATCHDOG_US / PARTS)

static volatile sig_atomic_t unfed, asleep, bitten;
static uint64_t stopped_ns; /* of a virtual clock without ticks, since the last feeding */

sigjmp_buf host_restart;

static void bite(void) {
    unfed = 0;
    stopped_ns = 0;
    bitten = 1;
    siglongjmp(host_restart, 1); /* what was under way, the line and the plant, starts anew too */
}

static void on_signal(int number) {
    (void)number;
    if (asleep == 0 && ++unfed >= PARTS) {
        bite();
    }
}

void watchdog_start(void) {
    const bool is_virtual = clock_is_virtual();
    const struct timeval part = {.tv_sec = (time_t)(PART_US / 1000000u),
                                 .tv_usec = (suseconds_t)(PART_US % 1000000u)};
    const struct itimerval each = {.it_interval = part, .it_value = part};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(is_virtual ? SIGPROF : SIGALRM, &action, NULL);
    setitimer(is_virtual ? ITIMER_PROF : ITIMER_REAL, &each, NULL);
}

void watchdog_feed(void) {
    unfed = 0;
    stopped_ns = 0;
}

void watchdog_starve(uint64_t ns) {
    stopped_ns += ns;
    if (stopped_ns >= (uint64_t)SAFETY_WATCHDOG_US * NS_PER_US) {
        bite();
    }
}

void watchdog_sleep(bool sleeps) {
    asleep = sleeps ? 1 : 0;
}

bool watchdog_has_bitten(void) {
    return bitten != 0;
}
