"""The style of a policy's C: the prefix of its names and the form of its numbers.

Every emitter of C gets the style in advance, so that each name and number is right when it is
written; the text is never searched or changed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import jinja2
import numpy as np

from sparsectl.export.naming import DEFAULT, c_file_names
from sparsectl.policy.activations import c_decimal, c_float

_TEMPLATES: Final = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class CStyle:
    """The choices of a user that every emitter of C has to know."""

    prefix: str = DEFAULT
    """The prefix of every name that other files of a program can see."""
    portable: bool = False
    """C99 and C++98 without what `export.portable` lists."""
    state_size: int = 0
    """Number of the state's values if the C computes one tick of a recurrent policy."""
    whole_state: bool = False
    """True if that state is kept in whole numbers, beside a tick's inputs and results."""

    def literal(self, value: float | np.floating) -> str:
        """Format a float32 as a literal that keeps every bit: in hexadecimal, or in decimal for
        portable C."""
        return c_decimal(value) if self.portable else c_float(value)

    def render(self, template: str, **values: object) -> str:
        """Render a jinja2 template with these values, and with the prefix as `policy` and `POLICY`.

        Raises:
            jinja2.UndefinedError: the template contains a name without a value.
        """
        names = {"policy": self.prefix, "POLICY": self.prefix.upper()}
        return _compiled(template).render(names | values)

    def name(self, rest: str) -> str:
        """Return the name of a function, type or table that others can see: policy_act for
        "act"."""
        return f"{self.prefix}_{rest}"

    def macro(self, rest: str) -> str:
        """Return the name of a macro that others can see: POLICY_DIGEST for "DIGEST"."""
        return f"{self.prefix.upper()}_{rest}"

    @property
    def keeps_state(self) -> bool:
        """Return whether the C computes one tick of a recurrent policy."""
        return self.state_size > 0

    @property
    def tick_inputs(self) -> str:
        """Number of floats that a tick takes, as C; the state is among them if it is of floats."""
        return "TICK_INPUTS" if self._has_float_state else self.macro("OBSERVATION_SIZE")

    @property
    def tick_results(self) -> str:
        """Number of floats that a tick gives, as C."""
        return "TICK_RESULTS" if self._has_float_state else self.macro("ACTION_SIZE")

    @property
    def _has_float_state(self) -> bool:
        return self.keeps_state and not self.whole_state

    @property
    def file_names(self) -> tuple[str, str, str, str]:
        """Header, source, golden vectors and assembly, which only some encodings have."""
        return c_file_names(self.prefix)


@lru_cache(maxsize=256)
def _compiled(template: str) -> jinja2.Template:
    return _TEMPLATES.from_string(template)
