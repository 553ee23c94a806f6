"""The examples' code: replay the golden vectors, which travel with the weights."""

from __future__ import annotations

_MISMATCHES = """\
/* Golden vectors that this machine does not repeat bit for bit: 0, or the build is wrong. */
static unsigned policy_mismatches(void)
{
    unsigned mismatches = 0;
    for (unsigned vector = 0; vector < POLICY_VECTOR_COUNT; vector++) {
        float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
        for (unsigned i = 0; i < POLICY_OBSERVATION_SIZE; i++) {
            observation[i] = POLICY_READ_FLOAT(&policy_vector_observation[vector][i]);
        }
        policy_act(observation, action);
        for (unsigned i = 0; i < POLICY_ACTION_SIZE; i++) {
            const float expected = POLICY_READ_FLOAT(&policy_vector_action[vector][i]);
            if (memcmp(&action[i], &expected, sizeof expected) != 0) {
                mismatches++;
            }
        }
    }
    return mismatches;
}
"""

C_MAIN = f"""\
/* Replays the golden vectors: prints how many actions differ and returns 0 if none does. */
#include <stdio.h>
#include <string.h>

#include "policy.h"
#include "policy_vectors.h"

{_MISMATCHES}
int main(void)
{{
    const unsigned mismatches = policy_mismatches();
    printf("%u of %u actions differ from the golden vectors\\n", mismatches,
           (unsigned)POLICY_VECTOR_COUNT * POLICY_ACTION_SIZE);
    return mismatches == 0 ? 0 : 1;
}}
"""

ARDUINO_SKETCH = f"""\
/* Replays the golden vectors once, then computes an action every control period.
 *
 * Read your sensors into `observation` and drive your motor with `action`: policy.h says which
 * number is which, in which unit. */
#include <Arduino.h>
#include <string.h>

#include <policy.h>
#include <policy_vectors.h>

{_MISMATCHES}
static const unsigned long period_us = POLICY_PERIOD_US > 0 ? POLICY_PERIOD_US : 20000;
static float observation[POLICY_OBSERVATION_SIZE];
static float action[POLICY_ACTION_SIZE];
static unsigned long next_us;

void setup()
{{
    Serial.begin(115200);
    Serial.print(F("actions that differ from the golden vectors: "));
    Serial.println(policy_mismatches());
    next_us = micros();
}}

void loop()
{{
    while ((long)(micros() - next_us) < 0) {{
    }}
    next_us += period_us;
    const unsigned long started_us = micros();
    policy_act(observation, action);
    const unsigned long taken_us = micros() - started_us;
    Serial.print(action[0], 6);
    Serial.print(F("  us: "));
    Serial.println(taken_us);
}}
"""
