"""Find the output of an ONNX file with the actions: the requested one, or the one whose name says
so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.policy.choices import LOGITS, Q_VALUES, VALUES
from sparsectl.policy.onnx_file.tensors import short

ACTIONS: Final[tuple[tuple[str, ...], ...]] = (
    ("action", "actions", "act", "deterministic_action"),
    ("deterministic_continuous_actions", "deterministic_discrete_actions"),
    ("continuous_actions", "discrete_actions"),
    ("mu", "mean", "action_mean", "mean_action", "mean_actions", "actor_mean"),
    ("label", "output_label"),
    VALUES[LOGITS],
    VALUES[Q_VALUES],
    ("probabilities", "output_probability", "action_probs", "probs"),
    ("policy", "pi", "actor"),
)
"""Names that a policy's output has, the surest first: as CleanRL, Stable-Baselines3, RLlib, Unity
ML-Agents, skl2onnx and people write them. A folder that export wrote has "action"."""

OTHER_WORDS: Final = frozenset(
    "value values vf v critic baseline advantage log logp logprob logprobs prob std sigma variance "
    "var entropy state hidden cell memory h c rnn version number size shape".split()
)
"""Words in the names of other outputs."""

ACTION_WORDS: Final = frozenset(
    "action actions actor policy pi mu mean logits control command torque".split()
)

CHOICE_WORDS: Final = frozenset(
    "logit logits q qs qval qvals qvalue qvalues advantages probability probabilities prob probs"
    " softmax scores".split()
)
"""Words in the names of outputs with a value for each choice."""

STATE_WORDS: Final = frozenset(
    "state hidden cell memory carry recurrent history rnn gru lstm h c hx cx hn cn".split()
)
"""Words in the names of a recurrent policy's state inputs."""

_ENDS: Final = frozenset(
    "in out ins outs next new prev previous last initial init final input output".split()
)
"""Words that tell one end of a state from the other."""


def starts_episodes(name: str) -> bool:
    """Return whether an input's name is one used for a signal that an episode starts or has
    ended."""
    words = words_of(name)
    started = {"episode", "is"} & words and {"start", "starts", "first"} & words
    return bool(started or {"mask", "masks", "done", "dones", "reset", "resets"} & words)


def values_in(name: str) -> str | None:
    """Return the kind of values that an output with that name has for each choice, `q_values` or
    `logits`; None if its name does not say so."""
    return next((kind for kind, names in VALUES.items() if _plain(name) in names), None)


def names_mean(name: str) -> bool:
    """Return whether an output's name says that it is the mean of continuous actions."""
    return bool({"mu", "mean", "means"} & words_of(name))


def names_values(name: str) -> bool:
    """Return whether an output's name says that it has a value for each choice; surer names are
    those of `values_in`."""
    return bool(CHOICE_WORDS & words_of(name)) or values_in(name) is not None


def choose_output(names: Sequence[str], wanted: str | None = None) -> str:
    """Return the name of the policy's output among `names`, those of a file's outputs.

    Raises:
        UserError: there is no output; two have one name; `wanted` is not among them; none is asked
            for and no name says which it is.
    """
    if not names:
        raise UserError("the model has no output; export it again")
    called, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"{times} of its outputs are called {short(called)}; give each a name of its own and "
            "export it again"
        )
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"there is no output {short(wanted)}; give --output {_listed(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    for known in ACTIONS:
        found = [name for name in names if _plain(name) in known]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(_which(found))
    candidates = [name for name in names if not OTHER_WORDS & words_of(name)]
    named = [name for name in candidates if ACTION_WORDS & words_of(name)]
    for found in (named, candidates):
        if len(found) == 1:
            return found[0]
    raise UserError(_which(names))


def _which(names: Sequence[str]) -> str:
    return (
        f"it has the outputs {', '.join(map(short, names[:8]))}, {unclear(names)}, or, to export, "
        f"--output {_listed(names)}"
    )


def unclear(names: Sequence[str]) -> str:
    """Return in words that outputs' names do not tell the actions, and how to name them; the policy
    of a Stable-Baselines3 model has three outputs, whose names torch makes up."""
    library = ""
    if len(names) == 3:
        library = f"; a policy of Stable-Baselines3 gives the actions first, here {short(names[0])}"
    return (
        "and their names do not say which are the actions; give names (torch.onnx.export takes "
        f"output_names, Keras a dict of outputs{library})"
    )


def _plain(name: str) -> str:
    """Return the name in small letters, without a scope before it or a number that tf2onnx
    appended."""
    return re.sub(r":\d+$", "", name).rsplit("/", 1)[-1].lower()


def words_of(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", _plain(name)))


def _listed(names: Sequence[str]) -> str:
    return " or ".join(short(name)[1:-1] for name in names[:8])


def stem_of(name: str) -> tuple[str, ...]:
    """Return the words of a name without those that tell its two ends apart: h_in, h_out, h0 and hn
    all give h."""
    found = []
    for word in re.findall(r"[a-z]+|\d+", name.rsplit("/", 1)[-1].lower()):
        if word in _ENDS or word == "0":
            continue
        found.append(word[:1] if word in ("hn", "cn", "hx", "cx", "hidden", "cell") else word)
    return tuple(found)
