/* The host port's watchdog: a timer of the system that starts the firmware again when no control
 * tick feeds it. It counts the signals that reach this process, so that a process which the system
 * stopped, or left waiting, is not bitten for that: all its missed signals are one. */
#include <signal.h>
#include <sys/time.h>

#include "firmware_config.h"
#include "host.h"

#define PARTS 5 /* it bites between four and five of them after the last feeding */

static volatile sig_atomic_t unfed, asleep, bitten;

sigjmp_buf host_restart;

static void on_alarm(int number) {
    (void)number;
    if (asleep != 0 || ++unfed < PARTS) {
        return;
    }
    unfed = 0;
    bitten = 1;
    siglongjmp(host_restart, 1); /* what was under way, the line and the plant, starts anew too */
}

void watchdog_start(void) {
    const uint32_t part_us = SAFETY_WATCHDOG_US / PARTS;
    const struct timeval part = {.tv_sec = (time_t)(part_us / 1000000u),
                                 .tv_usec = (suseconds_t)(part_us % 1000000u)};
    const struct itimerval each = {.it_interval = part, .it_value = part};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each, NULL);
}

void watchdog_feed(void) {
    unfed = 0;
}

void watchdog_sleep(bool sleeps) {
    asleep = sleeps ? 1 : 0;
}

bool watchdog_has_bitten(void) {
    return bitten != 0;
}
