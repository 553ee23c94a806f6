/* The functions of Quanser's HIL SDK that a QUBE needs, by the signatures of its hil.h, with the
 * motor and pendulum of a QUBE-Servo 2 behind them: what stands in for libhil in tests. Time is the
 * machine's; `card_pass` lets some pass at once. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct tag_card {
    double volts, arm, arm_speed, swing, swing_speed, now, patience, fed;
    int is_open, enabled, guarded, expired;
} *t_card;

static struct tag_card card;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The arm alone, and a hanging pendulum that its acceleration swings: small motions. */
static void step(double dt) {
    const double volts = card.enabled && !card.expired ? card.volts : 0.0;
    const double torque = 0.005 * (volts - 0.042 * card.arm_speed) - 2.7e-4 * card.arm_speed;
    const double friction = 1.0e-3;
    double acceleration = torque / 3.0e-4;
    if (fabs(card.arm_speed) < 1e-3 && fabs(torque) < friction) {
        acceleration = -card.arm_speed / dt;
    } else {
        const double way = card.arm_speed != 0.0 ? card.arm_speed : torque;
        acceleration -= copysign(friction, way) / 3.0e-4;
    }
    card.arm_speed += acceleration * dt;
    card.arm += card.arm_speed * dt;
    card.swing_speed += (-114.0 * card.swing - 0.99 * acceleration - 1.5 * card.swing_speed) * dt;
    card.swing += card.swing_speed * dt;
}

static void run(double until) {
    while (card.now < until) {
        if (card.guarded && card.now - card.fed > card.patience) {
            card.expired = 1;
        }
        step(1e-4);
        card.now += 1e-4;
    }
}

void card_pass(double duration) {
    run(card.now + duration);
}

double card_volts(void) {
    return card.enabled && !card.expired ? card.volts : 0.0;
}

int card_is_open(void) {
    return card.is_open;
}

int hil_open(const char *type, const char *identifier, t_card *opened) {
    if (strcmp(type, "qube_servo2_usb") != 0 || strcmp(identifier, "0") != 0) {
        return -1073; /* no such card */
    }
    memset(&card, 0, sizeof card);
    card.now = seconds();
    card.is_open = 1;
    *opened = &card;
    return 0;
}

int hil_close(t_card which) {
    which->is_open = 0;
    return 0;
}

int hil_set_encoder_counts(t_card which, const uint32_t channels[], uint32_t count,
                           const int32_t counts[]) {
    (void)channels;
    which->arm = counts[0];
    which->swing = counts[1];
    return count == 2 ? 0 : -1;
}

int hil_read_encoder(t_card which, const uint32_t channels[], uint32_t count, int32_t counts[]) {
    if (count != 2 || channels[0] != 0 || channels[1] != 1) {
        return -1;
    }
    run(seconds());
    counts[0] = (int32_t)floor(which->arm * 2048.0 / 6.283185307179586);
    counts[1] = (int32_t)floor(which->swing * 2048.0 / 6.283185307179586);
    return 0;
}

int hil_read_analog(t_card which, const uint32_t channels[], uint32_t count, double values[]) {
    values[0] = (card_volts() - 0.042 * which->arm_speed) / 8.4;
    return count == 1 && channels[0] == 0 ? 0 : -1;
}

int hil_write_analog(t_card which, const uint32_t channels[], uint32_t count,
                     const double values[]) {
    run(seconds());
    which->volts = values[0];
    return count == 1 && channels[0] == 0 && fabs(values[0]) <= 15.0 ? 0 : -1;
}

int hil_write_digital(t_card which, const uint32_t channels[], uint32_t count,
                      const char values[]) {
    which->enabled = values[0];
    return count == 1 && channels[0] == 0 ? 0 : -1;
}

int hil_watchdog_set_analog_expiration_state(t_card which, const uint32_t channels[],
                                             uint32_t count, const double values[]) {
    (void)which;
    return count == 1 && channels[0] == 0 && values[0] == 0.0 ? 0 : -1;
}

int hil_watchdog_set_digital_expiration_state(t_card which, const uint32_t channels[],
                                              uint32_t count, const int states[]) {
    (void)which;
    return count == 1 && channels[0] == 0 && states[0] == 0 ? 0 : -1;
}

int hil_watchdog_start(t_card which, double patience) {
    /* A test of something else may run on a machine that holds every process up for longer. */
    const char *late = getenv("HIL_CARD_LATE_S");
    which->patience = patience + (late != NULL ? atof(late) : 0.0);
    which->fed = which->now = seconds();
    which->guarded = 1;
    return 0;
}

int hil_watchdog_reload(t_card which) {
    run(seconds());
    which->fed = which->now;
    return which->expired ? 0 : 1;
}

int hil_watchdog_clear(t_card which) {
    const int was = which->expired;
    which->expired = 0;
    return was ? 0 : -1108; /* nothing to clear */
}

int hil_watchdog_stop(t_card which) {
    which->guarded = 0;
    return 0;
}
