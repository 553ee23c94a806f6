/* The process of the host port: the signals that end it, and waiting that they cut short. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "host.h"

/* How long who waits without a deadline, a lockstep board for its host, looks before it sleeps. To
 * wake a sleeper takes longer than a host usually does; on a busy machine that much is lost. */
#define LOOK_NS (250u * NS_PER_US)

static struct {
    volatile sig_atomic_t stopping;
    sigset_t poll_mask; /* signals blocked while polling: those from before process_open() */
} process;

static void on_signal(int number) {
    (void)number;
    process.stopping = 1;
}

void process_open(void) {
    const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction stop = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        sigaddset(&blocked, stops[i]);
        sigaction(stops[i], &stop, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* a plant that has gone is found by write() */
    sigprocmask(SIG_BLOCK, &blocked, &process.poll_mask);
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1ul); /* wake at the deadline, not up to 50 us behind it */
#endif
}

static int look(struct pollfd *polled, nfds_t count) {
    static const struct timespec at_once = {0};
    const uint64_t end_ns = host_monotonic_ns() + LOOK_NS;
    int ready;
    do {
        ready = ppoll(polled, count, &at_once, &process.poll_mask);
    } while (ready == 0 && host_monotonic_ns() < end_ns);
    return ready;
}

int host_poll(struct pollfd *polled, nfds_t count, int64_t wait_ns) {
    const int ready = wait_ns < 0 ? look(polled, count) : 0;
    if (ready != 0) {
        return ready;
    }
    struct timespec wait;
    if (wait_ns >= 0) {
        wait.tv_sec = (time_t)(wait_ns / NS_PER_S);
        wait.tv_nsec = (long)(wait_ns % NS_PER_S);
    }
    return ppoll(polled, count, wait_ns >= 0 ? &wait : NULL, &process.poll_mask);
}

bool host_stopping(void) {
    return process.stopping != 0;
}

void host_stop(const char *why) {
    if (why != NULL) {
        fprintf(stderr, "firmware: %s\n", why);
    }
    process.stopping = 1;
}
