/* The serial line of the host port: the master side of a pseudo terminal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "host.h"

#define QUEUE_SIZE 4096u /* a second of TICKs at 50 Hz; more would only be stale */

static int line_fd = -1;
static uint8_t queue[QUEUE_SIZE];
static size_t queued; /* bytes, at the front of `queue` */

/* On Linux the settings of a pty's master are those of its other end. */
static bool make_raw(int fd) {
    struct termios settings;
    if (tcgetattr(fd, &settings) != 0) {
        return false;
    }
    cfmakeraw(&settings);
    return tcsetattr(fd, TCSANOW, &settings) == 0;
}

const char *line_open(void) {
    line_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (line_fd < 0 || grantpt(line_fd) != 0 || unlockpt(line_fd) != 0 || !make_raw(line_fd)) {
        return NULL;
    }
    if (fcntl(line_fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
        return NULL;
    }
    return ptsname(line_fd);
}

void line_reset(void) {
    queued = 0;
}

static void flush(void) {
    const ssize_t sent = queued > 0 ? write(line_fd, queue, queued) : 0;
    if (sent > 0) {
        queued -= (size_t)sent;
        memmove(queue, queue + sent, queued);
    }
}

enum line_event line_wait(int64_t wait_ns) {
    struct pollfd polled = {.fd = line_fd, .events = POLLIN};
    if (queued > 0) {
        polled.events |= POLLOUT;
    }
    if (host_poll(&polled, 1, wait_ns) <= 0) {
        return LINE_NOTHING;
    }
    if ((polled.revents & POLLOUT) != 0) {
        flush();
    }
    if ((polled.revents & POLLIN) != 0) {
        return LINE_BYTES;
    }
    /* Linux reports this once the other end was open and has been closed, not before. */
    return (polled.revents & (POLLHUP | POLLERR)) != 0 ? LINE_CLOSED : LINE_NOTHING;
}

size_t line_read(uint8_t *bytes, size_t size) {
    const ssize_t got = read(line_fd, bytes, size);
    if (got < 0 && errno == EIO) {
        host_stop(NULL); /* the other end has gone */
    }
    return got > 0 ? (size_t)got : 0;
}

bool line_write(const uint8_t *bytes, size_t size, bool patient) {
    flush();
    watchdog_sleep(patient);
    while (patient && queued + size > QUEUE_SIZE && !host_stopping()) {
        struct pollfd polled = {.fd = line_fd, .events = POLLOUT};
        host_poll(&polled, 1, -1);
        if ((polled.revents & POLLHUP) != 0) {
            host_stop(NULL);
        }
        flush();
    }
    watchdog_sleep(false);
    if (queued + size > QUEUE_SIZE) {
        return false;
    }
    memcpy(queue + queued, bytes, size);
    queued += size;
    flush();
    return true;
}
