/* ATmega328P and ATmega2560 at 16 MHz; their timers, line and watchdog have the same registers.
 * Sections are those of the ATmega48A/PA/88A/PA/168A/PA/328/P data sheet. */
#include "board.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>

#include "board_config.h"
#include "duty.h"
#include "firmware_config.h"
#include "quadrature.h"

#define CLOCK_HZ 16000000u
#define PWM_TOP 400u /* up and down at 16 MHz: 20 kHz, beyond hearing */
#define OVERFLOW_US 128u

static volatile uint32_t timer_high; /* board_timer() without its lowest byte */
static volatile uint16_t base_reading, pole_reading, edges_lost;
static uint8_t encoders_before;
static volatile uint32_t watchdog_steps; /* of 2048 cycles of its oscillator, 16 ms */
static volatile uint8_t watchdog_unfed;  /* since it was fed */
static bool watchdog_fired;

/* 11.9.1: the cause of the reset; 11.8.2: after the watchdog's it runs on, with the least
 * patience. Done early. Some boot loaders clear the cause: then it is not known. Interrupt and
 * system reset mode: each step interrupts, and one whose interrupt is not taken resets. */
static void start_watchdog(void) {
    watchdog_fired = (MCUSR & _BV(WDRF)) != 0;
    MCUSR = 0;
    wdt_reset();
    WDTCSR = _BV(WDCE) | _BV(WDE);
    WDTCSR = _BV(WDIF) | _BV(WDIE) | _BV(WDE);
}

/* The last step without food turns the motor off, at the pin itself, and waits for the reset. */
ISR(WDT_vect) {
    watchdog_steps++;
    if (++watchdog_unfed < BOARD_WATCHDOG_COUNTS) {
        WDTCSR |= _BV(WDIE); /* taking the interrupt has cleared it */
        return;
    }
    TCCR1A = 0;
    PWM_PORT &= (uint8_t)~_BV(PWM_PIN);
    for (;;) {
    }
}

uint32_t board_second_timer(void) {
    const uint8_t interrupts = SREG;
    cli();
    const uint32_t steps = watchdog_steps;
    SREG = interrupts;
    return steps;
}

/* 16.9.4: phase-correct PWM, mode 10: TOP is ICR1, OC1A is cleared counting up. */
static void start_motor(void) {
    PWM_PORT &= (uint8_t)~_BV(PWM_PIN);
    PWM_DDR |= _BV(PWM_PIN);
    DIRECTION_PORT &= (uint8_t)~_BV(DIRECTION_PIN);
    DIRECTION_DDR |= _BV(DIRECTION_PIN);
    OPPOSITE_DDR |= _BV(OPPOSITE_PIN);
    ENABLE_PORT &= (uint8_t)~_BV(ENABLE_PIN);
    ENABLE_DDR |= _BV(ENABLE_PIN);
    LIMIT_PORT |= _BV(LIMIT_PIN); /* pulled up: a broken wire reads as a pressed switch */
    OCR1A = 0;
    ICR1 = PWM_TOP;
    TCCR1A = _BV(COM1A1) | _BV(WGM11);
    TCCR1B = _BV(WGM13) | _BV(CS10);
}

static uint8_t encoder_pins(void) {
    const uint8_t pins = ENCODER_IN;
    return (uint8_t)(pins >> ENCODER_SHIFT) & 15u;
}

/* 13.2.4: an interrupt for each change of any of the four pins. */
static void start_encoders(void) {
    ENCODER_PULL_UP |= (uint8_t)(15u << ENCODER_SHIFT);
    encoders_before = encoder_pins();
    ENCODER_MASK |= (uint8_t)(15u << ENCODER_SHIFT);
    PCICR |= _BV(ENCODER_ENABLE);
}

/* 15.9: timer 0 counts 2 MHz and overflows every 128 us. */
static void start_timer(void) {
    TCCR0A = 0;
    TCCR0B = _BV(CS01);
    TIMSK0 = _BV(TOIE0);
}

/* 20.10, 20.11: double speed, 8 data bits, no parity, 1 stop bit. */
static void start_serial(void) {
    UCSR0A = _BV(U2X0);
    UBRR0 = (uint16_t)(CLOCK_HZ / 8u / BOARD_BAUD - 1u);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
}

void board_start(void) {
    start_motor();
    start_watchdog();
    start_timer();
    start_encoders();
    start_serial();
    sei();
}

ISR(TIMER0_OVF_vect) {
    timer_high += 0x100u;
}

uint32_t board_timer(void) {
    const uint8_t interrupts = SREG;
    cli();
    uint32_t high = timer_high;
    const uint8_t low = TCNT0;
    if ((TIFR0 & _BV(TOV0)) != 0 && low < 0x80u) {
        high += 0x100u; /* it has overflowed, and its interrupt waits for us */
    }
    SREG = interrupts;
    return high + low;
}

ISR(SERIAL_RECEIVED_vect) {
    serial_received(UDR0);
}

ISR(SERIAL_EMPTY_vect) {
    uint8_t byte;
    if (serial_take(&byte)) {
        UDR0 = byte;
    } else {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
    }
}

void board_serial(void) {
    const uint8_t interrupts = SREG;
    cli();
    UCSR0B |= _BV(UDRIE0);
    SREG = interrupts;
}

__attribute__((always_inline)) static inline void count_edge(uint8_t before, uint8_t now,
                                                             volatile uint16_t *reading) {
    const int8_t step = quadrature_step(before, now);
    if (step == 1) {
        (*reading)++;
    } else if (step == -1) {
        (*reading)--;
    } else if (step == QUADRATURE_LOST) {
        edges_lost++;
    }
}

/* Short, for it bounds how fast the encoders may turn: boards/avr.py has its cycles. */
ISR(ENCODER_vect) {
    const uint8_t now = encoder_pins();
    const uint8_t before = encoders_before;
    encoders_before = now;
    count_edge(before, now, &base_reading);
    count_edge((uint8_t)(before >> 2), (uint8_t)(now >> 2), &pole_reading);
}

uint32_t board_lost_edges(void) {
    const uint8_t interrupts = SREG;
    cli();
    const uint16_t lost = edges_lost;
    SREG = interrupts;
    return lost;
}

void board_encoders(int32_t *base_count, int32_t *pole_count) {
    static int32_t base, pole;
    const uint8_t interrupts = SREG;
    cli();
    const uint16_t base_now = base_reading, pole_now = pole_reading;
    SREG = interrupts;
    base = quadrature_extend(base, base_now);
    pole = quadrature_extend(pole, pole_now);
    *base_count = base;
    *pole_count = pole;
}

void board_motor(float duty) {
    const struct duty_pins pins = duty_pins(duty, PWM_TOP);
    if (pins.reverse) {
        OPPOSITE_PORT &= (uint8_t)~_BV(OPPOSITE_PIN);
        DIRECTION_PORT |= _BV(DIRECTION_PIN);
    } else {
        DIRECTION_PORT &= (uint8_t)~_BV(DIRECTION_PIN);
        OPPOSITE_PORT |= _BV(OPPOSITE_PIN);
    }
    if (pins.compare != 0) {
        ENABLE_PORT |= _BV(ENABLE_PIN);
    } else {
        ENABLE_PORT &= (uint8_t)~_BV(ENABLE_PIN);
    }
    OCR1A = pins.compare; /* taken over at TOP: no glitch */
}

/* 10.2: idle stops the core alone. SEI lets one more instruction run, so no interrupt that comes
 * after the look at the buffer is slept through. */
void board_nap(uint32_t most_us) {
    if (most_us <= OVERFLOW_US) {
        return; /* the next overflow might be too late */
    }
    cli();
    if (!serial_waiting()) {
        SMCR = _BV(SE); /* 10.11.1: the mode is idle */
        sei();
        sleep_cpu();
        SMCR = 0;
    }
    sei();
}

bool board_limit_switch(void) {
    return (LIMIT_IN & _BV(LIMIT_PIN)) != 0;
}

void board_watchdog(void) {
    watchdog_unfed = 0;
}

bool board_watchdog_fired(void) {
    return watchdog_fired;
}
