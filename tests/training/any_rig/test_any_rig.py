"""One policy for any rig: the teacher balances drawn rigs, students learn, resume and deploy."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
from safetensors.numpy import save_file

pytest.importorskip("torch")

import torch

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import draw_rig, families
from sparsectl.plants.plant import draw_parameters, draw_start
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.plants.units import Units
from sparsectl.policy.load import load
from sparsectl.training.any_rig.acting import CONSTANTS, SIGNALS, Acting, Inputs
from sparsectl.training.any_rig.deploy import policy_for, read_any, write_any, write_for_rig
from sparsectl.training.any_rig.distill import (
    CHECKPOINT,
    CURVE,
    AnyRigDistillation,
    AnyRigSettings,
    drawn_rig,
)
from sparsectl.training.any_rig.law import predicted, unit_of
from sparsectl.training.any_rig.measure import trials
from sparsectl.training.any_rig.recurrent import GruStudent, StackStudent, acting
from sparsectl.training.any_rig.rollout import Driven, drive
from sparsectl.training.any_rig.teacher import ModelBased, _riccati, gains_for, motion_of

WIDTH = SIGNALS + CONSTANTS

SMALL = AnyRigSettings(
    rounds=3, rigs=8, ticks=60, updates=10, batch=8, chunk=30, units=3, learning_rate=2e-2
)


def gru(units: int) -> Acting:
    """One that has learnt nothing."""
    student = acting(GruStudent(units))
    assert isinstance(student, Acting)
    return student


@pytest.mark.parametrize("family", families())
def test_the_teacher_swings_up_and_balances_rigs_that_it_never_saw(family: str) -> None:
    """At least 96 % of those of the benchmark; of these few at most one may fail."""
    rigs = [replace(draw_rig(family, seed), period_s=0.02) for seed in range(12)]
    outcomes = trials(rigs, range(12), None, balance_s=3.0)
    assert outcomes.balanced.sum() >= 11
    assert (outcomes.swung_up_s[outcomes.balanced] < 15.0).all()


def test_a_policy_that_does_nothing_balances_no_rig() -> None:
    student = GruStudent(2)
    with torch.no_grad():
        for array in student.parameters():
            array.zero_()
    outcomes = trials([draw_rig("cartpole", 0)] * 3, range(3), acting(student), balance_s=0.0)
    assert not outcomes.balanced.any() and np.isnan(outcomes.swung_up_s).all()


def test_what_is_only_measured_is_not_labelled() -> None:
    rigs, student = [draw_rig("furuta", k) for k in range(4)], gru(3)
    with_labels, without = (
        drive(rigs, range(4), student, steps=40, labelled=labelled) for labelled in (True, False)
    )
    np.testing.assert_array_equal(with_labels.rewards, without.rewards)
    np.testing.assert_array_equal(with_labels.inputs, without.inputs)
    assert with_labels.labels.any() and not without.labels.any()
    taught = drive(rigs, range(4), student, steps=40, labelled=False, teacher_share=0.5)
    assert (taught.rewards[:, :2] != without.rewards[:, :2]).any()
    np.testing.assert_array_equal(taught.rewards[:, 2:], without.rewards[:, 2:])


def test_regulators_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    step, push = random.normal(0, 0.6, (5, 4, 4)), random.normal(0, 1, (5, 4, 1))
    cost = np.eye(4) * random.uniform(0.1, 2.0, (5, 1, 4))
    duty_cost = np.ones((5, 1, 1))
    found = _riccati(step, push, cost, duty_cost)
    for i in range(5):
        expected = scipy.linalg.solve_discrete_are(step[i], push[i], cost[i], duty_cost[i])
        np.testing.assert_allclose(found[i], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("family", families())
def test_the_teacher_knows_where_the_duty_under_way_will_have_brought_a_rig(family: str) -> None:
    rigs = [draw_rig(family, seed) for seed in range(8)]
    random = np.random.default_rng(0)
    parameters = [draw_parameters(rig, random) for rig in rigs]
    states = [draw_start(rig, "upright", random) for rig in rigs]
    teacher, units = ModelBased(rigs, parameters), Units(rigs, parameters, states)
    delays = [each.transport_delay_periods for each in parameters]
    delay_s = np.array([rig.period_s for rig in rigs]) * delays
    duty, nothing = random.uniform(-1, 1, 8), np.zeros(8)
    before = np.array(units.motion.pole_velocity)
    later = [
        predicted(unit_of(teacher.numbers, i), tuple(state), duty[i])
        for i, state in enumerate(np.transpose(motion_of(units.motion)))
    ]
    units.advance(nothing, delay_s, duty)
    moved = np.abs(units.motion.pole_velocity - before)
    assert moved.max() > 0.1
    assert (np.abs(np.array(later)[:, 3] - units.motion.pole_velocity) < 0.02 + 0.15 * moved).all()


@pytest.mark.parametrize(("family", "still_met"), [("cartpole", 0.5), ("furuta", 0.7)])
def test_the_teacher_brakes_before_the_limit_whoever_brought_the_base_there(
    family: str, still_met: float
) -> None:
    rigs = [draw_rig(family, seed) for seed in range(60)]
    met, known = [], gains_for(rigs)
    for gains in (known, known._replace(last_edge=np.inf)):
        episodes = PendulumEpisodes(rigs, [0] * 60, start="upright", steps=150)
        teacher = ModelBased(rigs, episodes.parameters, gains)
        # The pole is all but upright, and the base runs outwards so fast that it can just be
        # stopped: the regulator, which knows of no limit, has other things to do.
        episodes.units.motion.position[:] = 0.5 * teacher.limit
        most = np.sqrt(2.0 * 1.15 * teacher.strongest * 0.38 * teacher.limit)
        episodes.units.motion.velocity[:] = np.minimum(most, 0.9 * teacher.fastest)
        for _ in range(150):
            episodes.step(teacher.act(episodes.units.motion, episodes.duty))
        met.append(np.abs(episodes.units.motion.position) >= teacher.limit)
    cautious, careless = met
    assert not (cautious & ~careless).any()
    assert careless.sum() >= 6 and cautious.sum() <= still_met * careless.sum()


def test_only_rigs_that_fail_when_they_are_drawn_come_back(tmp_path: Path) -> None:
    settings = replace(SMALL, rigs=8, again=0.5, ticks=110)
    distillation = AnyRigDistillation(settings, tmp_path)
    # Nobody balances within 110 ticks from rest: all that the student drives fail.
    drawn: list[int] = []

    def draw(number: int) -> Rig:
        drawn.append(number)
        return draw_rig("cartpole", number)

    distillation._draw = draw
    for number in range(3):
        distillation._drive(number, 0.0)
    remembered = list(distillation._failed)
    assert len(drawn) == 24 and len(set(drawn)) < 24, "some came back"
    assert len(remembered) == len(set(remembered)), "those are remembered once"


def test_what_is_being_caught_or_near_the_limit_weighs_as_much_more_as_asked(
    tmp_path: Path,
) -> None:
    settings = replace(SMALL, near_upright=1.0, catching=3.0, near_limit=10.0)
    weights = AnyRigDistillation(settings, tmp_path)._weights
    hanging, calm, fast, leaning, outer = np.zeros((5, WIDTH), np.float32)
    hanging[3], calm[3], fast[3:5], leaning[3] = -1.0, 1.0, (1.0, 0.5), 0.8
    outer[[0, 3]] = 1.3, -1.0
    inputs = np.array([hanging, calm, fast, leaning, outer])
    assert weights(inputs).tolist() == [1.0, 2.0, 5.0, 5.0, 11.0]


@pytest.mark.parametrize("student", [GruStudent(5), StackStudent(4, (6, 5))])
def test_numpy_acts_tick_by_tick_as_torch_does_over_a_sequence(
    student: GruStudent | StackStudent,
) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(0, 1, (20, 3, WIDTH)).astype(np.float32)
    with torch.no_grad():
        whole, _ = student(torch.from_numpy(inputs))
        first, state = student(torch.from_numpy(inputs[:7]))
        rest, _ = student(torch.from_numpy(inputs[7:]), state)
    np.testing.assert_allclose(torch.cat([first, rest]), whole, atol=1e-6)
    actor = acting(student)
    memory, duties = actor.reset(3), []
    for tick in inputs:
        duty, memory = actor.step(tick, memory)
        duties.append(duty)
    np.testing.assert_allclose(np.array(duties), whole, atol=1e-6)
    folded = CONSTANTS * (15 if isinstance(student, GruStudent) else 6)
    assert student.deployed_weights == sum(p.numel() for p in student.parameters()) - folded


@pytest.mark.parametrize("units", [3, 0])
def test_a_distillation_lowers_its_loss_and_resumes_where_it_stopped(
    units: int, tmp_path: Path
) -> None:
    settings = replace(SMALL, units=units, hidden=(6, 5), frames=3)
    whole = AnyRigDistillation(settings, tmp_path / "whole")
    whole.run()
    curve = [json.loads(line) for line in (tmp_path / "whole" / CURVE).read_text().splitlines()]
    # The teacher drives all rigs of the first rounds: the loss is of one and the same kind.
    assert [row["round"] for row in curve] == [0, 1, 2]
    assert curve[-1]["loss"] < curve[0]["loss"]
    again = AnyRigDistillation(settings, tmp_path / "whole")
    assert again.round == 3
    for one, other in zip(whole.student.parameters(), again.student.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(UserError, match="other settings"):
        AnyRigDistillation(replace(settings, rigs=7), tmp_path / "whole")


def test_a_run_of_a_version_with_fewer_settings_resumes(tmp_path: Path) -> None:
    settings = replace(SMALL, rounds=1)
    AnyRigDistillation(settings, tmp_path).run()
    held = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert held["settings"].pop("corner") == 0.0
    torch.save(held, tmp_path / CHECKPOINT)
    assert AnyRigDistillation(settings, tmp_path).round == 1
    with pytest.raises(UserError, match="other settings"):
        AnyRigDistillation(replace(settings, corner=0.5), tmp_path)


@pytest.mark.parametrize("family", families())
def test_a_part_of_the_rigs_comes_from_the_corner(family: str) -> None:
    """The same ones whenever they come back."""
    cornered = 0
    for number in range(200):
        rig = drawn_rig(family, 0.3, number)
        assert rig in (draw_rig(family, number), draw_rig(family, number, corner=True))
        cornered += rig != draw_rig(family, number)
    assert 40 <= cornered <= 80
    assert drawn_rig(family, 0.0, 3) == draw_rig(family, 3)


@pytest.mark.parametrize("name", [CHECKPOINT, "episodes_1.npz"])
@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "other"])
def test_a_damaged_run_is_told_in_one_line(name: str, damage: str, tmp_path: Path) -> None:
    run = AnyRigDistillation(replace(SMALL, rounds=2), tmp_path)
    run._kept.add(1, Driven(*(np.zeros((2, 3, 9), np.float32) for _ in fields(Driven))))
    run.round = 2
    run.save()
    path = tmp_path / name
    whole = path.read_bytes()
    if damage == "other":
        torch.save({"round": 2}, path)
    else:
        path.write_bytes({"empty": b"", "garbage": b"rubbish", "cut": whole[:-40]}[damage])
    with pytest.raises(UserError, match="is damaged") as caught:
        AnyRigDistillation(replace(SMALL, rounds=2), tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("units", "sparse"),
    [(3, {}), (0, {}), (3, {"keep": 20, "score": "variational"}), (3, {"keep": 9})],
)
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    units: int, sparse: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in round 5, it resumes from the checkpoint after round 3, with episodes from 2 on."""
    changes = {"units": units, "hidden": (6, 5), "frames": 3, "ticks": 40, "updates": 4}
    settings = replace(SMALL, rounds=7, kept=2, checkpoint_rounds=2, **changes, **sparse)
    whole = AnyRigDistillation(settings, tmp_path / "whole")
    whole.run()

    class KilledError(Exception):
        pass

    def kill(number: int) -> float:
        if number == 5:
            raise KilledError
        return AnyRigDistillation._learn(killed, number)

    killed = AnyRigDistillation(settings, tmp_path / "killed")
    monkeypatch.setattr(killed, "_learn", kill)
    with pytest.raises(KilledError):
        killed.run()
    left = sorted(path.stem for path in (tmp_path / "killed").glob("episodes_*"))
    assert left == [f"episodes_{number}" for number in (2, 3, 4, 5)]
    resumed = AnyRigDistillation(settings, tmp_path / "killed")
    assert resumed.round == 4
    resumed.run()
    for name in ("student", "averaged"):
        here, there = (getattr(run, name).state_dict() for run in (whole, resumed))
        assert all(torch.equal(here[each], there[each]) for each in here)
    assert not list(tmp_path.glob("*/episodes_*"))


@pytest.mark.parametrize(
    "rig",
    [
        *(draw_rig(family, 4) for family in families()),
        load_rig("sensorsini_cartpole"),
        load_rig("qube_servo2"),
    ],
)
def test_the_policy_of_one_rig_does_what_the_student_does_there(rig: Rig, tmp_path: Path) -> None:
    student = gru(4)
    write_any(tmp_path / "any.safetensors", student, {"family": "cartpole"})
    student = read_any(tmp_path / "any.safetensors")
    policy = policy_for(student, rig)
    write_for_rig(tmp_path / "student.safetensors", student, rig, {})
    assert load(tmp_path / "student.safetensors").digest == policy.digest
    assert policy.state_size == 4 and policy.frames == 1
    assert policy.period_s == rig.period_s and policy.rig == rig.name
    episodes, inputs = PendulumEpisodes([rig], [0], start="uniform"), Inputs([rig])
    state, memory = policy.initial_state(), student.reset(1)
    for _ in range(30):
        action, state = policy.step(state, episodes.observations[0, -5:])
        duty, memory = student.step(inputs.of(episodes.observations), memory)
        assert action[0] == pytest.approx(duty[0], abs=2e-6)
        episodes.step(duty.astype(np.float64))


def test_a_file_that_is_no_student_of_any_rig_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="no student at"):
        read_any(path)
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(UserError, match="no safetensors file"):
        read_any(path)
    save_file({"weight": np.zeros((1, 2), np.float32)}, path)
    with pytest.raises(UserError, match="no student for any rig"):
        read_any(path)
    student = gru(4)
    write_any(path, replace(student, bias=np.array([np.nan], np.float32)), {})
    with pytest.raises(UserError, match="bias is float32 of shape"):
        read_any(path)
    write_any(path, replace(student, weight_ih=np.zeros((12, 5), np.float32)), {})
    with pytest.raises(UserError, match=r"weight_ih is float32 of shape \[12, 5\]"):
        read_any(path)


def test_the_compiled_gradient_is_torchs_and_carries_the_same_state() -> None:
    pytest.importorskip("numba")
    from sparsectl.training.any_rig.gradients import ByTorch, Compiled

    random = np.random.default_rng(0)
    inputs = random.normal(0, 1, (24, 3, WIDTH)).astype(np.float32)
    labels = random.uniform(-1, 1, (24, 3)).astype(np.float32)
    share = (random.integers(0, 2, (24, 3)) / 30).astype(np.float32)
    student = GruStudent(4)
    found = []
    for gradients in (ByTorch(student), Compiled(student)):
        carried = gradients.begin(3)
        losses = []
        for part in (slice(0, 10), slice(10, 24)):
            student.zero_grad()
            loss, carried = gradients.of(inputs[part], labels[part], share[part], carried)
            losses.append(loss)
        slopes = [parameter.grad for parameter in student.parameters()]
        found.append([np.array(losses), np.asarray(carried), *(np.asarray(s) for s in slopes)])
    by_torch, compiled = found
    compiled[1] = compiled[1].T[None]  # rigs come last there
    for one, other in zip(by_torch, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
