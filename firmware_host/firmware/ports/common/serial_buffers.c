#include "serial_buffers.h"

#include "board_config.h"
#include "frame.h"
#include "ring.h"

typedef char a_frame_fits_the_send_buffer[BOARD_SEND_SIZE > FRAME_MAX ? 1 : -1];

static volatile uint8_t received_bytes[BOARD_RECEIVE_SIZE];
static volatile uint8_t sent_bytes[BOARD_SEND_SIZE];
static struct ring received = {.bytes = received_bytes, .size = BOARD_RECEIVE_SIZE};
static struct ring sent = {.bytes = sent_bytes, .size = BOARD_SEND_SIZE};

void serial_received(uint8_t byte) {
    ring_put(&received, byte);
}

bool serial_waiting(void) {
    return received.first != received.end;
}

bool serial_take(uint8_t *byte) {
    return ring_take(&sent, byte);
}

size_t serial_read(uint8_t *bytes, size_t size) {
    size_t count = 0;
    while (count < size && ring_take(&received, &bytes[count])) {
        count++;
    }
    return count;
}

bool serial_write(const uint8_t *bytes, size_t size) {
    if (ring_room(&sent) < size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        ring_put(&sent, bytes[i]);
    }
    return true;
}
