/* Runs a firmware in simavr with its UART 0 on a pty: `simavr_bridge CHIP HZ ELF PORT` prints
 * `PTY path` and runs until SIGTERM. While the firmware sleeps, time passes as it does outside, but
 * a byte from the host ends the wait at once.
 *
 * Four pins from PORT on, such as D2, are the encoders: base A, base B, pole A, pole B. SIGUSR1
 * turns the base forwards and the pole backwards, by a count each; SIGUSR2 changes both channels of
 * the base at once, as no encoder does. At its end it prints `STACK n`, the bytes of stack that the
 * firmware has used at the deepest, `EDGE n`, the most cycles that the interrupt of the encoders
 * has taken, and `DEAF n`, the most for which anything else has held interrupts off. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_io.h>
#include <simavr/sim_time.h>

#define POLL_CYCLES 256u  /* of the chip, between two looks at the pty while it works */
#define START_CYCLES 100u /* until the stack pointer is set */
#define NAP_US 500        /* naps are this long together before they are slept for real */

static int line;
static int clear_to_send = 1;
static long nap_us;
static unsigned char queue[256];
static ssize_t queued, taken;

static void on_output(struct avr_irq_t *irq, uint32_t value, void *nothing) {
    const unsigned char byte = (unsigned char)value;
    (void)irq;
    (void)nothing;
    if (write(line, &byte, 1) != 1) {
        return; /* nobody reads: as on a real line, the byte is gone */
    }
}

static void on_xon(struct avr_irq_t *irq, uint32_t value, void *nothing) {
    (void)irq;
    (void)value;
    (void)nothing;
    clear_to_send = 1;
}

static void on_xoff(struct avr_irq_t *irq, uint32_t value, void *nothing) {
    (void)irq;
    (void)value;
    (void)nothing;
    clear_to_send = 0;
}

static int input_waits(int wait_ms) {
    struct pollfd polled = {.fd = line, .events = POLLIN};
    return poll(&polled, 1, wait_ms) > 0 && (polled.revents & POLLIN) != 0;
}

static void feed(struct avr_irq_t *input) {
    if (taken == queued && input_waits(0)) {
        taken = 0;
        queued = read(line, queue, sizeof queue);
        queued = queued < 0 ? 0 : queued;
    }
    while (taken < queued && clear_to_send) {
        avr_raise_irq(input, queue[taken++]);
    }
}

static void on_sleep(avr_t *avr, avr_cycle_count_t cycles) {
    nap_us += (long)avr_cycles_to_usec(avr, cycles);
    if (nap_us >= NAP_US && taken == queued) {
        input_waits((int)((nap_us + 999) / 1000));
        nap_us = 0;
    }
}

static const char *open_line(void) {
    line = posix_openpt(O_RDWR | O_NOCTTY);
    if (line < 0 || grantpt(line) != 0 || unlockpt(line) != 0) {
        return NULL;
    }
    const char *name = ptsname(line);
    /* Held open, so that the host may come and go; raw from the start. */
    const int other = name == NULL ? -1 : open(name, O_RDWR | O_NOCTTY);
    struct termios settings;
    if (other < 0 || tcgetattr(other, &settings) != 0) {
        return NULL;
    }
    cfmakeraw(&settings);
    tcsetattr(other, TCSANOW, &settings);
    fcntl(line, F_SETFL, O_RDWR | O_NONBLOCK);
    return name;
}

static avr_t *start(const char *chip, const char *hz, const char *path) {
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    avr_t *avr = avr_make_mcu_by_name(chip);
    if (avr == NULL || elf_read_firmware(path, &firmware) != 0) {
        return NULL;
    }
    avr_init(avr);
    firmware.frequency = (uint32_t)strtoul(hz, NULL, 10);
    avr_load_firmware(avr, &firmware);
    avr->sleep = on_sleep;
    avr->log = LOG_NONE;
    return avr;
}

static struct avr_irq_t *connect_uart(avr_t *avr) {
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT),
                            on_output, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON),
                            on_xon, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF),
                            on_xoff, NULL);
    return avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
}

static volatile sig_atomic_t steps, jumps, ended;

static void on_jump(int number) {
    (void)number;
    jumps++;
}

static void on_step(int number) {
    (void)number;
    steps++;
}

static void on_end(int number) {
    (void)number;
    ended = 1;
}

static unsigned stack_pointer(const avr_t *avr) {
    return avr->data[R_SPL] | (unsigned)avr->data[R_SPH] << 8;
}

/* simavr must know first that the pins are driven: else it takes them for open, and lets the
 * pull-ups have them whenever the firmware writes another pin of their port. */
static void set_pins(avr_t *avr, const char *port, unsigned pins) {
    const unsigned shift = (unsigned)(port[1] - '0');
    avr_ioport_external_t driven = {
        .name = (unsigned)port[0], .mask = (15u << shift) & 255u, .value = (pins << shift) & 255u};
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(port[0]), &driven);
    for (int pin = 0; pin < 4; pin++) {
        struct avr_irq_t *irq =
            avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(port[0]), port[1] - '0' + pin);
        avr_raise_irq(irq, pins >> pin & 1u);
    }
}

static unsigned encoder_pins = 15u; /* all channels pulled up */

/* Both go through the four states in turn, the pole the other way round. */
static void turn_encoders(avr_t *avr, const char *port) {
    static const unsigned STATES[4] = {0, 1, 3, 2};
    static unsigned state = 2;
    state = (state + 1) % 4;
    encoder_pins = STATES[state] | STATES[(4 - state) % 4] << 2;
    set_pins(avr, port, encoder_pins);
}

/* One of the pole's channels changes, and both of the base's at once. */
static void jump_encoder(avr_t *avr, const char *port) {
    encoder_pins ^= 7u;
    set_pins(avr, port, encoder_pins);
}

/* Cycles of the encoders' interrupt and of all else that holds interrupts off. */
static struct {
    avr_t *avr;
    int in_edge;
    avr_cycle_count_t edge_began, edge_most;
    int enabled; /* the I bit, as seen last */
    avr_cycle_count_t deaf_began, deaf_most;
} latency;

#define ENTRY_CYCLES 4u /* to the vector, which simavr takes for none */

static void on_edge(struct avr_irq_t *irq, uint32_t value, void *nothing) {
    (void)irq;
    (void)nothing;
    latency.in_edge = value != 0;
    if (value != 0) {
        latency.edge_began = latency.avr->cycle;
    } else {
        const avr_cycle_count_t took = latency.avr->cycle - latency.edge_began + ENTRY_CYCLES;
        latency.edge_most = took > latency.edge_most ? took : latency.edge_most;
    }
}

static void watch_latency(avr_t *avr) {
    const int enabled = avr->sreg[S_I] != 0;
    if (latency.enabled && !enabled && !latency.in_edge) {
        latency.deaf_began = avr->cycle;
    } else if (!latency.enabled && enabled && latency.deaf_began != 0) {
        const avr_cycle_count_t took = avr->cycle - latency.deaf_began + ENTRY_CYCLES;
        latency.deaf_most = took > latency.deaf_most ? took : latency.deaf_most;
        latency.deaf_began = 0;
    }
    latency.enabled = enabled;
}

/* Pin-change interrupt 2 (port D) of the ATmega328P, 0 (port B) of the ATmega2560. */
static void connect_latency(avr_t *avr, const char *port) {
    latency.avr = avr;
    avr_irq_register_notify(
        avr_get_interrupt_irq(avr, port[0] == 'D' ? 5 : 9) + AVR_INT_IRQ_RUNNING, on_edge, NULL);
}

int main(int count, char **arguments) {
    const char *name = count == 5 ? open_line() : NULL;
    avr_t *avr = name != NULL ? start(arguments[1], arguments[2], arguments[3]) : NULL;
    if (avr == NULL) {
        fputs("usage: simavr_bridge CHIP HZ ELF PORT (or no pty, or no such chip)\n", stderr);
        return 2;
    }
    signal(SIGUSR1, on_step);
    signal(SIGUSR2, on_jump);
    connect_latency(avr, arguments[4]);
    signal(SIGTERM, on_end);
    struct avr_irq_t *input = connect_uart(avr);
    printf("PTY %s\n", name);
    fflush(stdout);
    avr_cycle_count_t looked = 0;
    unsigned deepest = avr->ramend;
    while (!ended) {
        const int state = avr_run(avr);
        if (state == cpu_Done || state == cpu_Crashed) {
            fputs("simavr_bridge: the firmware crashed\n", stderr);
            return 1;
        }
        if (avr->cycle > START_CYCLES && stack_pointer(avr) < deepest) {
            deepest = stack_pointer(avr);
        }
        watch_latency(avr);
        if (jumps > 0) {
            jumps--;
            jump_encoder(avr, arguments[4]);
        }
        if (steps > 0) {
            steps--;
            turn_encoders(avr, arguments[4]);
        }
        if (avr->cycle - looked >= POLL_CYCLES) {
            looked = avr->cycle;
            feed(input);
        }
    }
    printf("STACK %u\nEDGE %lu\nDEAF %lu\n", avr->ramend - deepest,
           (unsigned long)latency.edge_most, (unsigned long)latency.deaf_most);
    return 0;
}
