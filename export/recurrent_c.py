"""The C of a policy that keeps a state: what policy.h declares and policy.c has around the tick."""

from __future__ import annotations

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import SPOILED, Code, EncodedPolicy, indented
from sparsectl.export.encodings.table import Table, reader
from sparsectl.policy.graph import PolicyGraph

_INTERFACE = """\

/* What the policy hands from one call to the next. Its values are the policy's own business: make
 * one with {{policy}}_reset_with, give it to each call, and copy it if need be. */
struct {{policy}}_state {
    {{value}} values[{{POLICY}}_STATE_SIZE];
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

_TICK = """\
/* One tick: of the observation and, after it, the state; the action and, after it, the next state.
 */
static void tick(const float *observation, float *action)
{
{% for line in lines %}
{{line}}
{% endfor %}
}
"""

_WHOLE_TICK = """\
/* One tick. The state is in whole numbers and becomes the next one; a NaN that was observed makes
 * all of it {{spoiled}}, which is no state's value, and every action NaN until the next reset. */
static void tick(const float *observation, int16_t *state, float *action)
{
{% for line in lines %}
{{line}}
{% endfor %}
}
"""

_ACT_WITH_WHOLE = """\
    tick(observation, state->values, action);
"""

_ACT_WITH_FLOATS = """\
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
"""

_FUNCTIONS = """\
{{tick}}
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
{{act_with}}}

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


def state_interface(policy: EncodedPolicy, style: CStyle) -> str:
    """Return the declarations in policy.h beside policy_act; empty if the policy keeps no state."""
    if not policy.graph.state_size:
        return ""
    reentrancy = (
        "Reentrant." if policy.reentrant else "Not reentrant: its scratch memory is static."
    )
    value = "int16_t" if policy.whole_state else "float"
    return style.render(_INTERFACE, reentrancy=reentrancy, value=value, indent=_indent(style))


def state_macros(policy: EncodedPolicy, style: CStyle) -> str:
    """Return the macros in policy.h about the state; empty if the policy keeps none."""
    if not policy.graph.state_size:
        return ""
    size = f"#define {style.macro('STATE_SIZE')} {policy.graph.state_size}\n"
    if not policy.whole_state:
        return size
    # An action tells at once where such a state is spoiled, so that nobody need look into it.
    return f"{size}#define {style.macro('STATE_IS_WHOLE')} 1\n"


def state_lines(graph: PolicyGraph) -> str:
    """Return lines for the comment of policy_act: what the state means to the caller."""
    if not graph.state_size:
        return ""
    return """
 *
 * The action depends on the observations since the last reset too: call it once each control
 * period. A NaN or an infinity that was observed may stay in the state until the next reset."""


def state_functions(code: Code, policy: EncodedPolicy, style: CStyle) -> str:
    """Return the C of the tick, and of the functions of the interface around it."""
    whole = policy.whole_state
    start = np.array(policy.graph.reset_state, np.float32)
    if whole is None:
        tick, act_with, zero = _TICK, _ACT_WITH_FLOATS, "0.0f"
        numbers = [style.literal(each) for each in start]
        read = f"{style.macro('READ_FLOAT')}(reset_state + i)"
    else:
        tick, act_with, zero = _WHOLE_TICK, _ACT_WITH_WHOLE, "0"
        start = whole.whole(start).astype(np.int16)
        numbers = [str(each) for each in start.tolist()]
        read = f"{reader(start.dtype)}(reset_state + i)"
    table, own_state, value = "", f"{{{zero}}}", zero
    if start.any():
        rows = [", ".join(numbers[i : i + 6]) for i in range(0, len(numbers), 6)]
        own_state = "{\n    " + ",\n    ".join(rows) + ",\n}"
        table, value = Table("reset_state", start).c_source(style) + "\n", read
    return style.render(
        _FUNCTIONS,
        tick=style.render(tick, lines=list(map(indented, code.body)), spoiled=SPOILED),
        act_with=style.render(act_with),
        reset_table=table,
        own_state=own_state,
        reset_value=value,
        indent=_indent(style),
    )


def tick_sizes(style: CStyle) -> list[str]:
    """Return the definitions before the tables; none if the policy keeps no state of floats."""
    return [style.render(_SIZES)] if style.keeps_state and not style.whole_state else []


def sequence_note(length: int | None, style: CStyle) -> str:
    """Return a note for policy_vectors.h; it is empty if vectors stand alone."""
    return "" if length is None else style.render(_SEQUENCE, length=length)


def _indent(style: CStyle) -> str:
    return " " * len(f"void {style.name('act_with')}(")
