"""Which output is the actions: asked for, said by its name, or refused."""

from __future__ import annotations

import pytest

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.output import choose_output


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["whatever"], "whatever"),
        (["value", "logits"], "logits"),
        (["value", "q_values"], "q_values"),
        (["log_std", "mean"], "mean"),
        (["values", "log_prob", "actions"], "actions"),
        (["logits", "action"], "action"),
        (["StatefulPartitionedCall/Actor/mu:0", "critic:0"], "StatefulPartitionedCall/Actor/mu:0"),
        (["critic_out", "actor_out"], "actor_out"),
        (["state_value", "torque"], "torque"),
        (["value", "29", "log_prob"], "29"),
        (["output_label", "output_probability"], "output_label"),
        (
            ["version_number", "memory_size", "continuous_actions", "continuous_action_shape"],
            "continuous_actions",
        ),
    ],
)
def test_names_say_which_it_is(names: list[str], chosen: str) -> None:
    assert choose_output(names) == choose_output(names[::-1]) == chosen


@pytest.mark.parametrize("wanted", [None, "action"])
def test_two_outputs_of_one_name_are_refused(wanted: str | None) -> None:
    with pytest.raises(UserError, match="2 of its outputs are called 'action'; give each a name"):
        choose_output(["value", "action", "action"], wanted)


@pytest.mark.parametrize(
    "names",
    [
        *(["54", "24", "52"], ["Identity", "Identity_1"], ["value", "vf"], ["action", "actions"]),
        # an agent of ML-Agents with both kinds of actions
        ["deterministic_continuous_actions", "deterministic_discrete_actions"],
    ],
)
def test_names_that_do_not_are_refused_and_one_can_be_asked_for(names: list[str]) -> None:
    with pytest.raises(UserError, match="do not say which are the actions; give names") as error:
        choose_output(names)
    assert all(repr(name) in str(error.value) and "\n" not in str(error.value) for name in names)
    for name in names:
        assert choose_output(names, name) == name
    with pytest.raises(UserError, match=f"no output 'foo'; give --output {names[0]} or"):
        choose_output(names, "foo")
