"""The examples' code: replay the golden vectors, which travel with the weights."""

from __future__ import annotations

from sparsectl.export.c_style import CStyle

_MISMATCHES = """\
/* Golden vectors that this machine does not repeat bit for bit: 0, or the build is wrong. */
static unsigned {{policy}}_mismatches(void)
{
    unsigned mismatches = 0;
    for (unsigned vector = 0; vector < {{POLICY}}_VECTOR_COUNT; vector++) {
        float observation[{{POLICY}}_OBSERVATION_SIZE], action[{{POLICY}}_ACTION_SIZE];
        for (unsigned i = 0; i < {{POLICY}}_OBSERVATION_SIZE; i++) {
            observation[i] = {{POLICY}}_READ_FLOAT(&{{policy}}_vector_observation[vector][i]);
        }
        {{policy}}_act(observation, action);
        for (unsigned i = 0; i < {{POLICY}}_ACTION_SIZE; i++) {
            const float expected = {{POLICY}}_READ_FLOAT(&{{policy}}_vector_action[vector][i]);
            if (memcmp(&action[i], &expected, sizeof expected) != 0) {
                mismatches++;
            }
        }
    }
    return mismatches;
}
"""

_C_MAIN = """\
/* Replays the golden vectors: prints how many actions differ and returns 0 if none does. */
#include <stdio.h>
#include <string.h>

#include "{{policy}}.h"
#include "{{policy}}_vectors.h"

{{mismatches}}
int main(void)
{
    const unsigned mismatches = {{policy}}_mismatches();
    printf("%u of %u actions differ from the golden vectors\\n", mismatches,
           (unsigned){{POLICY}}_VECTOR_COUNT * {{POLICY}}_ACTION_SIZE);
    return mismatches == 0 ? 0 : 1;
}
"""

_ARDUINO_SKETCH = """\
/* Replays the golden vectors once, then computes an action every control period.
 *
 * Read your sensors into `observation` and drive your motor with `action`: {{policy}}.h says which
 * number is which, in which unit. */
#include <Arduino.h>
#include <string.h>

#include <{{policy}}.h>
#include <{{policy}}_vectors.h>

{{mismatches}}
static const unsigned long period_us = {{POLICY}}_PERIOD_US > 0 ? {{POLICY}}_PERIOD_US : 20000;
static float observation[{{POLICY}}_OBSERVATION_SIZE];
static float action[{{POLICY}}_ACTION_SIZE];
static unsigned long next_us;

void setup()
{
    Serial.begin(115200);
    Serial.print(F("actions that differ from the golden vectors: "));
    Serial.println({{policy}}_mismatches());
    next_us = micros();
}

void loop()
{
    while ((long)(micros() - next_us) < 0) {
    }
    next_us += period_us;
    const unsigned long started_us = micros();
    {{policy}}_act(observation, action);
    const unsigned long taken_us = micros() - started_us;
    Serial.print(action[0], 6);
    Serial.print(F("  us: "));
    Serial.println(taken_us);
}
"""


def c_main(style: CStyle) -> str:
    """main.c, which replays the golden vectors."""
    return style.render(_C_MAIN, mismatches=style.render(_MISMATCHES))


def arduino_sketch(style: CStyle) -> str:
    """An Arduino sketch, which replays them and then acts every period."""
    return style.render(_ARDUINO_SKETCH, mismatches=style.render(_MISMATCHES))
