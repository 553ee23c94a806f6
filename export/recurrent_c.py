"""The C of a policy that keeps a state: what policy.h declares and policy.c has around the tick."""

from __future__ import annotations

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import Code, indented
from sparsectl.export.encodings.table import Table
from sparsectl.policy.graph import PolicyGraph

_INTERFACE = """\

/* What the policy hands from one call to the next. Its values are the policy's own business: make
 * one with {{policy}}_reset_with, give it to each call, and copy it if need be. */
struct {{policy}}_state {
    float values[{{POLICY}}_STATE_SIZE];
};

/* The state as it is before the first observation. */
void {{policy}}_reset_with(struct {{policy}}_state *state);

/* {{policy}}_act with the state in the caller's hands, so that one program has several controllers
 * with these weights. {{reentrancy}} */
void {{policy}}_act_with(struct {{policy}}_state *state,
{{indent}}const float observation[{{POLICY}}_OBSERVATION_SIZE],
{{indent}}float action[{{POLICY}}_ACTION_SIZE]);

/* Resets the state of {{policy}}_act, which also starts so. Call it where a new episode begins:
 * before the motor is switched on, and after ticks that were missed. */
void {{policy}}_reset(void);
"""

_SIZES = """\
#define TICK_INPUTS ({{POLICY}}_OBSERVATION_SIZE + {{POLICY}}_STATE_SIZE)
#define TICK_RESULTS ({{POLICY}}_ACTION_SIZE + {{POLICY}}_STATE_SIZE)
"""

_FUNCTIONS = """\
/* One tick: of the observation and, after it, the state; the action and, after it, the next state.
 */
static void tick(const float *observation, float *action)
{
{% for line in lines %}
{{line}}
{% endfor %}
}

{{reset_table}}static struct {{policy}}_state own_state = { {{-own_state-}} };

void {{policy}}_reset_with(struct {{policy}}_state *state)
{
    for (unsigned i = 0; i < {{POLICY}}_STATE_SIZE; i++) {
        state->values[i] = {{reset_value}};
    }
}

void {{policy}}_act_with(struct {{policy}}_state *state,
{{indent}}const float observation[{{POLICY}}_OBSERVATION_SIZE],
{{indent}}float action[{{POLICY}}_ACTION_SIZE])
{
    float given[TICK_INPUTS], made[TICK_RESULTS];

    for (unsigned i = 0; i < {{POLICY}}_OBSERVATION_SIZE; i++) {
        given[i] = observation[i];
    }
    for (unsigned i = 0; i < {{POLICY}}_STATE_SIZE; i++) {
        given[{{POLICY}}_OBSERVATION_SIZE + i] = state->values[i];
    }
    tick(given, made);
    for (unsigned i = 0; i < {{POLICY}}_ACTION_SIZE; i++) {
        action[i] = made[i];
    }
    for (unsigned i = 0; i < {{POLICY}}_STATE_SIZE; i++) {
        state->values[i] = made[{{POLICY}}_ACTION_SIZE + i];
    }
}

void {{policy}}_reset(void)
{
    {{policy}}_reset_with(&own_state);
}

void {{policy}}_act(const float observation[{{POLICY}}_OBSERVATION_SIZE],
                float action[{{POLICY}}_ACTION_SIZE])
{
    {{policy}}_act_with(&own_state, observation, action);
}
"""

_SEQUENCE = """\
/* They are sequences: {{policy}}_reset() comes before each vector whose number is a multiple of
 * this. */
#define {{POLICY}}_VECTOR_SEQUENCE {{length}}
"""


def state_interface(graph: PolicyGraph, is_reentrant: bool, style: CStyle) -> str:
    """Return the declarations in policy.h beside policy_act; empty if the policy keeps no state."""
    if not graph.state_size:
        return ""
    reentrancy = "Reentrant." if is_reentrant else "Not reentrant: its scratch memory is static."
    return style.render(_INTERFACE, reentrancy=reentrancy, indent=_indent(style))


def state_lines(graph: PolicyGraph) -> str:
    """Return lines for the comment of policy_act: what the state means to the caller."""
    if not graph.state_size:
        return ""
    return """
 *
 * The action depends on the observations since the last reset too: call it once each control
 * period. A NaN or an infinity that was observed may stay in the state until the next reset."""


def state_functions(code: Code, graph: PolicyGraph, style: CStyle) -> str:
    """Return the C of the tick, and of the functions of the interface around it."""
    table, own_state, value = "", "{0.0f}", "0.0f"
    if any(graph.reset_state):
        values = Table("reset_state", np.array(graph.reset_state, np.float32))
        numbers = [style.literal(each) for each in graph.reset_state]
        rows = [", ".join(numbers[i : i + 6]) for i in range(0, len(numbers), 6)]
        own_state = "{\n    " + ",\n    ".join(rows) + ",\n}"
        table = values.c_source(style) + "\n"
        value = f"{style.macro('READ_FLOAT')}(reset_state + i)"
    return style.render(
        _FUNCTIONS,
        lines=map(indented, code.body),
        reset_table=table,
        own_state=own_state,
        reset_value=value,
        indent=_indent(style),
    )


def tick_sizes(style: CStyle) -> list[str]:
    """Return the definitions before the tables; none if the policy keeps no state."""
    return [style.render(_SIZES)] if style.keeps_state else []


def sequence_note(length: int | None, style: CStyle) -> str:
    """Return a note for policy_vectors.h; it is empty if vectors stand alone."""
    return "" if length is None else style.render(_SEQUENCE, length=length)


def _indent(style: CStyle) -> str:
    return " " * len(f"void {style.name('act_with')}(")
