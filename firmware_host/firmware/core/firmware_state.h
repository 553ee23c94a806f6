/* The whole state of the firmware, which its parts share. */
#ifndef FIRMWARE_STATE_H
#define FIRMWARE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "clock_watch.h"
#include "frame.h"
#include "observation.h"
#include "policy.h"
#include "policy_memory.h"
#include "safety.h"
#include "wire_table.h"

/* The result of a control tick. */
struct firmware_act {
    float output; /* the policy's */
    float duty;   /* applied */
    uint32_t inference_ns;
};

/* All state. Start from zero bits. */
struct firmware {
    struct frame_receiver receiver;
    struct safety safety;
    struct observation observation;
    struct clock_watch clocks;
    float history[POLICY_OBSERVATION_SIZE];
#ifdef POLICY_STATE_SIZE
    struct policy_memory memory;
#endif
    struct firmware_act act;  /* of the last tick */
    enum wire_state reported; /* the state last reported to the host */
    enum wire_fault reported_fault;
    uint8_t mode;        /* enum wire_mode */
    bool configured;     /* CONFIG was accepted */
    bool tick_open;      /* host mode: the tick still waits for its COMMAND */
    int32_t lateness_us; /* of the last tick */
    uint64_t sampled_us; /* when its encoders were read */
    uint32_t receive_us; /* from then to its COMMAND; 0 before that */
    bool plant_begun;    /* plant_tick has come */
    bool step_open;      /* step_* is to be acknowledged */
    uint32_t tick;       /* control ticks since boot, skipped ones too */
    uint32_t plant_tick; /* number of the last PLANT_STEP */
    uint32_t step_until;
    uint16_t step_sequence;
    uint16_t sequence;   /* of the next frame sent */
    uint32_t nonce;      /* what ARM must carry */
    float kick;          /* DISTURB: duty to add */
    uint16_t kick_ticks; /* for so many ticks */
    uint64_t heard_us;   /* when the bytes in `input` were read */
    uint8_t input[64];
    uint8_t input_size;
    uint8_t input_next;
    uint32_t frames_unknown;
    uint32_t frames_dropped;
    uint32_t ticks_run;
    uint32_t skipped;
    uint32_t max_lateness_us;
    uint32_t max_inference_ns;
    uint32_t edges_lost;
};

#endif
