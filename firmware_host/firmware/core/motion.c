#include "motion.h"

#include <stdbool.h>
#include <string.h>

#include "angle.h"

#define DITHER 1         /* counts by which an encoder at rest may flicker */
#define STOP_TICKS 2u    /* a dead stop lasts, a turning point does not */
#define WRONG_ANSWERS 3u /* more than chance and noise produce */
#define RIGHT_ANSWERS 3  /* likewise, of a pole that counts backwards */
#define TELLING_STEP 3   /* counts a tick: above the noise of two differences */
#define STEP_NOISE 2     /* counts a tick, of such a difference: each step is within one */
#define STILL_MEMORY 4u  /* in stuck_ticks: the base's earlier travel is forgotten */
#define STILL_WINDOW 2u  /* in stuck_ticks: a still pole's motion is reckoned over so long */
#define STILL_PROOFS 4u  /* stretches that no speed explains; healthy rigs have shown 2 */
#define UNBOUNDED 1e9f   /* counts a tick */
#define ZERO_LEAN 0.04f  /* rad: the pole hangs with friction, and its count stands for an angle */
#define HELD_MEMORY 2u   /* in stuck_ticks: no pole holds a base for as long */
#define JITTER 0.05f     /* of a period, by which a tick may come early or late */
#define GRAVITY_MARGIN 1.25f
#define ANSWER_FLOOR 0.1f /* of a telling jerk: what the hinge's friction may eat of one */

void motion_reset(struct motion *motion) {
    memset(motion, 0, sizeof *motion);
}

static int32_t magnitude(int32_t value) {
    return value < 0 ? -value : value;
}

static uint16_t add(uint16_t ticks, uint32_t periods) {
    const uint32_t sum = ticks + periods;
    return (uint16_t)(sum < UINT16_MAX ? sum : UINT16_MAX);
}

/* An encoder that counted fast and has stopped counting altogether, or only flickers. */
static bool stopped_dead(uint16_t *still, int32_t *speed, int32_t step, int32_t stop,
                         uint32_t periods) {
    if (magnitude(step) > DITHER) {
        *still = 0;
        *speed = magnitude(step) / (int32_t)periods;
        return false;
    }
    *still = add(*still, periods);
    return *still >= STOP_TICKS && *speed >= stop;
}

/* Count one response; true when too many had the wrong sign. */
static bool answered(uint8_t *wrong, bool right) {
    if (!right) {
        (*wrong)++;
    } else if (*wrong > 0) {
        (*wrong)--;
    }
    return *wrong >= WRONG_ANSWERS;
}

static float least_of(float a, float b) {
    return a < b ? a : b;
}

static float faster(int32_t a, int32_t b) {
    return (float)(magnitude(a) > magnitude(b) ? magnitude(a) : magnitude(b));
}

/* Counts a tick by which the pole may have changed the base's step, at most, whichever way it
 * counts. Of the two ticks that a change spans, the pole's place at their middle has half of the
 * weight, and those at their ends a quarter each. */
static float dragged(const struct motion *motion, const struct motion_limits *limits,
                     int32_t base_step, int32_t pole_step, int32_t pole_count) {
    const struct pole_pull *pull = &limits->pull;
    const float turn = faster(pole_step, motion->pole_step);
    const float travel = faster(base_step, motion->base_step);
    const float along = pull->fall + travel * (pull->spin * travel + pull->twist * turn);
    const int32_t places[3] = {pole_count, pole_count - pole_step,
                               pole_count - pole_step - motion->pole_step};
    float sum = 0.0f;
    for (int i = 0; i < 3; i++) {
        float s, c;
        angle_sin_cos(angle_pole_phase(places[i], limits->pole_phase_per_count), &s, &c);
        s = s < 0.0f ? -s : s;
        c = c < 0.0f ? -c : c;
        const float most = s * (pull->turn * turn * turn + c * along) /
                           (1.0f - pull->coupled * c * c + pull->level * s * s);
        sum += i == 1 ? 0.5f * most : 0.25f * most;
    }
    return sum;
}

/* A base that rests or moves against its motor, and has been driven for two ticks, gains speed in
 * the motor's direction: friction and back-EMF help, and the pole takes away no more than it can
 * drag. What it gained is summed over such ticks until it tells: enough the right way, or less than
 * it owes even if every count's noise was against it. */
static bool reversed_base(struct motion *motion, const struct motion_limits *limits,
                          int32_t base_step, int32_t pole_step, int32_t pole_count, float duty) {
    const int32_t way = duty < 0.0f ? -1 : 1;
    const float push = least_of((float)way * duty, (float)way * motion->duty);
    /* The duty before these two still acts for a part of the first tick. */
    const bool undone = (float)way * motion->duty_before < -push;
    if (push < limits->telling_duty || undone || way * motion->base_step > 0) {
        motion->gained = 0;
        motion->owed = 0.0f;
        return false;
    }
    const int32_t gain = way * (base_step - motion->base_step);
    if (magnitude(motion->base_step) <= TELLING_STEP && magnitude(gain) < TELLING_STEP) {
        return false; /* at rest: held, maybe, which is STUCK_BASE */
    }
    motion->gained += gain;
    motion->owed +=
        push * limits->base_push - dragged(motion, limits, base_step, pole_step, pole_count);
    const bool right = motion->gained >= TELLING_STEP;
    if (!right && (float)(motion->gained + STEP_NOISE) > motion->owed) {
        return false;
    }
    motion->gained = 0;
    motion->owed = 0.0f;
    return answered(&motion->base_answers, right);
}

/* By how much gravity, and the whirling of an arm, may turn the pole meanwhile: as much as a jerk
 * of the base by these counts. */
static float hidden(const struct motion_limits *limits, float sine, float cosine, float travel) {
    const float whirl = limits->whirl * travel * travel * (cosine < 0.0f ? -cosine : cosine);
    return (sine < 0.0f ? -sine : sine) * (limits->gravity + whirl);
}

static void forget_answer(struct answer *answer) {
    memset(answer, 0, sizeof *answer);
}

/* A base whose hinge is accelerated harder than gravity pulls turns the pole in a known direction,
 * wherever the pole is. An encoder does not change its direction while it runs: once the pole has
 * answered right more often than a reversed one would by chance, what turns it the wrong way is a
 * hand, and is not looked at any more. What base and pole gained is summed until both tell: more
 * than the counts' noise, and more than ticks that come early or late can make of their speeds. The
 * sums of changes are the difference of two steps, so noise enters at their two ends alone. */
static bool reversed_pole(struct motion *motion, const struct motion_limits *limits,
                          int32_t base_step, int32_t pole_step, int32_t pole_count) {
    struct answer *answer = &motion->answer;
    if (limits->telling_jerk == INT32_MAX || motion->pole_answers >= RIGHT_ANSWERS) {
        return false;
    }
    float s, c;
    const int32_t middle = pole_count - pole_step;
    angle_sin_cos(angle_pole_phase(middle, limits->pole_phase_per_count), &s, &c);
    const int32_t base_jerk = base_step - motion->base_step;
    const int32_t pole_jerk = pole_step - motion->pole_step;
    const float driven = (limits->pole_sense > 0 ? -c : c) * (float)base_jerk;
    if (answer->way == 0) {
        answer->way = driven < 0.0f ? -1 : 1;
        answer->base_start = add(0, (uint32_t)magnitude(motion->base_step));
        answer->pole_start = add(0, (uint32_t)magnitude(motion->pole_step));
    }
    const float floor = ANSWER_FLOOR * (float)limits->telling_jerk;
    answer->driven += (float)answer->way * driven - floor -
                      GRAVITY_MARGIN * hidden(limits, s, c, faster(base_step, motion->base_step));
    answer->turned += answer->way * pole_jerk;
    if (answer->driven <= 0.0f) {
        forget_answer(answer);
        return false;
    }
    const float base_noise =
        STEP_NOISE + JITTER * (float)(answer->base_start + magnitude(base_step));
    const float pole_noise =
        STEP_NOISE + JITTER * (float)(answer->pole_start + magnitude(pole_step));
    if (answer->driven < base_noise || (float)magnitude(answer->turned) <= pole_noise) {
        return false;
    }
    motion->pole_answers = (int8_t)(motion->pole_answers + (answer->turned > 0 ? 1 : -1));
    forget_answer(answer);
    return motion->pole_answers <= -(int)WRONG_ANSWERS;
}

/* A base that is driven hard for so many ticks and stands still. A duty that turns round at each
 * tick drives it nowhere: what is left of such a pair is what counts. A pole that swings may hold
 * the base against the motor, but not for long: where it could at any of these ticks, the base must
 * have been still for twice as many. */
static bool stuck_base(struct motion *motion, const struct motion_limits *limits, int32_t base_step,
                       int32_t pole_step, int32_t pole_count, uint32_t periods, float duty) {
    const float way = duty < 0.0f ? -1.0f : 1.0f;
    const float push = least_of(way * duty, way * (duty + motion->duty));
    const bool dead = stopped_dead(&motion->base_still, &motion->base_speed, base_step,
                                   limits->base_stop, periods);
    const int32_t drift = motion->base_drift + base_step;
    const bool moved = magnitude(drift) > DITHER;
    motion->base_drift = (int8_t)(moved ? 0 : drift);
    motion->base_rest = add(motion->base_rest, periods);
    if (moved) {
        motion->base_rest = 0;
        motion->driven_still = 0;
        motion->held = false;
    } else if (push >= limits->stuck_duty) {
        motion->driven_still = add(motion->driven_still, periods);
        if (push * limits->base_push <= dragged(motion, limits, base_step, pole_step, pole_count)) {
            motion->held = true;
        }
    }
    return dead || (motion->driven_still >= limits->stuck_ticks &&
                    (!motion->held || motion->base_rest >= HELD_MEMORY * limits->stuck_ticks));
}

static void begin_stillness(struct motion *motion) {
    struct stillness *still = &motion->stillness;
    still->ticks = 0;
    still->pole_start = motion->pole_drift;
    still->travel = 0;
    still->slowest = -UNBOUNDED;
    still->fastest = UNBOUNDED;
}

/* A pole that is free turns as its hinge is accelerated and as gravity pulls: as far as the base
 * leaves a straight path, and falls. Its count may stand still nevertheless, above a base that runs
 * evenly, or leaning just as far as the base is accelerated. So what a free pole would have done is
 * summed from the count's place on, and compared with what the count shows: each tick bounds the
 * speed that the pole may have had at the beginning, and once no speed is left, the stretch is
 * unexplained, and the next one begins. */
static void explain_stillness(struct motion *motion, const struct motion_limits *limits,
                              int32_t base_step, int32_t pole_count, uint32_t periods) {
    struct stillness *still = &motion->stillness;
    const uint16_t window = STILL_WINDOW * limits->stuck_ticks;
    const uint32_t after = still->ticks + periods;
    if (after > (window < UINT8_MAX ? window : UINT8_MAX)) {
        begin_stillness(motion); /* what its zero may be off grows with the square of time */
        return;
    }
    float s, c;
    angle_sin_cos(angle_pole_phase(pole_count, limits->pole_phase_per_count), &s, &c);
    const bool backwards = (limits->pole_phase_per_count >> 63) != 0;
    const bool along = (limits->pole_sense > 0) != backwards;
    still->ticks = (uint8_t)after;
    still->travel += base_step;
    const float ticks = (float)still->ticks, travel = (float)still->travel;
    const float fall = 0.5f * limits->gravity * ticks * ticks;
    const float turned =
        (along ? -c : c) * travel + s * (fall + 0.5f * limits->whirl * c * travel * travel);
    const float shown = (float)(1 + magnitude(motion->pole_drift - still->pole_start));
    const float error = shown * limits->count_travel + STEP_NOISE + ZERO_LEAN * fall;
    const float least = (-error - turned) / ticks, most = (error - turned) / ticks;
    still->slowest = still->slowest > least ? still->slowest : least;
    still->fastest = least_of(still->fastest, most);
    if (still->slowest > still->fastest) {
        motion->unexplained++; /* at most to STILL_PROOFS or stuck_ticks: then the motor is off */
        begin_stillness(motion);
    }
}

/* With one channel of an encoder dead, the other makes the count flicker, which is not motion. But
 * flicker does not prove that an encoder is dead: the pole of a good balance may stay within one
 * count of a coarse encoder for any length of time while the base moves to and fro, or slowly home;
 * and one that turns about moves by single counts for a while, which are motion if they add up.
 * One stretch of time in which a free pole could not have stood still proves nothing either, as the
 * hinge has friction, but several do, before the pole's count moves again. So does a single one
 * while the base travels this far in one direction within a few of the pole's time constants. */
static bool stuck_pole(struct motion *motion, const struct motion_limits *limits, int32_t base_step,
                       int32_t pole_step, int32_t pole_count, uint32_t periods) {
    const bool dead = stopped_dead(&motion->pole_still, &motion->pole_speed, pole_step,
                                   limits->pole_stop, periods);
    const int32_t drift = motion->pole_drift + pole_step;
    const bool moved = drift > DITHER || drift < -DITHER;
    motion->pole_drift = (int8_t)(moved ? 0 : drift);
    motion->still_travel -= motion->still_travel / (int32_t)(STILL_MEMORY * limits->stuck_ticks);
    motion->still_travel = moved ? 0 : motion->still_travel + base_step;
    motion->pole_rest = moved ? 0 : add(motion->pole_rest, periods);
    if (moved || motion->pole_rest == periods) {
        motion->unexplained = 0;
        begin_stillness(motion);
    }
    if (!moved) {
        explain_stillness(motion, limits, base_step, pole_count, periods);
    }
    const bool travelled = magnitude(motion->still_travel) >= limits->stuck_travel;
    return dead || (motion->pole_rest >= limits->stuck_ticks &&
                    motion->unexplained >= (travelled ? 1u : STILL_PROOFS));
}

enum wire_fault motion_check(struct motion *motion, const struct motion_limits *limits,
                             int32_t base_step, int32_t pole_step, int32_t pole_count,
                             uint32_t periods, float duty) {
    enum wire_fault fault = WIRE_FAULT_NONE;
    /* The steps of two ticks compare only where both took one period. */
    const bool steady = periods == 1 && !motion->after_gap;
    base_step *= limits->base_sense; /* forward is where a positive duty drives */
    if (!steady) {
        motion->gained = 0;
        motion->owed = 0.0f;
        forget_answer(&motion->answer);
    }
    if (stuck_base(motion, limits, base_step, pole_step, pole_count, periods, duty)) {
        fault = WIRE_FAULT_STUCK_BASE;
    } else if (stuck_pole(motion, limits, base_step, pole_step, pole_count, periods)) {
        fault = WIRE_FAULT_STUCK_POLE;
    } else if (steady && reversed_base(motion, limits, base_step, pole_step, pole_count, duty)) {
        fault = WIRE_FAULT_REVERSED_BASE;
    } else if (steady && reversed_pole(motion, limits, base_step, pole_step, pole_count)) {
        fault = WIRE_FAULT_REVERSED_POLE;
    }
    motion->base_step = base_step;
    motion->pole_step = pole_step;
    motion->duty_before = motion->duty;
    motion->duty = duty;
    motion->after_gap = periods != 1;
    return fault;
}
