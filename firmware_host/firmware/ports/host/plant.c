/* The plant behind the host port's encoders and motor: whoever simulates it answers on a socket.
 *
 * Request, little-endian: u64 time_ns, f32 duty. Answer: i32 base_count, i32 pole_count, i32
 * current_ma, the least of an int32 where there is no such sensor; u32 lost_edges of the encoders;
 * u32 limit_switch, 1 where one is open. */
#include <errno.h>
#include <unistd.h>

#include "host.h"
#include "wire_codec.h"

#define REQUEST_SIZE 12u
#define ANSWER_SIZE 20u
#define PATIENCE_NS (10 * (int64_t)NS_PER_S) /* a simulator that takes longer has hung */

static bool send_request(int fd, uint64_t time_ns, float duty) {
    uint8_t request[REQUEST_SIZE];
    wire_put_f32(wire_put_u64(request, time_ns), duty);
    ssize_t sent;
    do {
        sent = write(fd, request, sizeof request);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof request;
}

static bool receive_answer(int fd, uint8_t answer[ANSWER_SIZE]) {
    size_t have = 0;
    while (have < ANSWER_SIZE && !host_stopping()) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        const int ready = host_poll(&polled, 1, PATIENCE_NS);
        if (ready == 0) {
            return false;
        }
        if (ready < 0) {
            continue; /* a signal; host_stopping() tells which */
        }
        const ssize_t got = read(fd, answer + have, ANSWER_SIZE - have);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
            return false;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return have == ANSWER_SIZE;
}

void plant_exchange(int fd, uint64_t time_ns, float duty, struct plant_sensors *sensors) {
    uint8_t answer[ANSWER_SIZE];
    watchdog_sleep(true); /* an exchange is whole, or the next one is not understood */
    const bool sent = send_request(fd, time_ns, duty);
    if (host_stopping()) {
        return; /* the last word, motor off, needs no answer */
    }
    const bool answered = sent && receive_answer(fd, answer);
    watchdog_sleep(false);
    if (!answered) {
        host_stop(host_stopping() ? NULL : "the plant behind --plant-fd has gone or hangs");
        return;
    }
    const uint8_t *at = wire_get_i32(answer, &sensors->base_count);
    at = wire_get_i32(at, &sensors->pole_count);
    at = wire_get_i32(at, &sensors->current_ma);
    at = wire_get_u32(at, &sensors->lost_edges);
    wire_get_u32(at, &sensors->limit_switch);
}
