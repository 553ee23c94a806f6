"""Datasets go to npz and Minari and come back whole; bad ones are one line."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.data.dataset import ARRAYS, Dataset, joined
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.data.minari import read_minari, write_minari
from sparsectl.training.environments.signals import environment_signals, standardised
from tests.bad_input.spoiled import make_bomb


def entries(names: str, limit: float | None) -> list[dict[str, Any]]:
    low = None if limit is None else -limit
    entry = {"unit": "", "scale": 1.0, "offset": 0.0, "low": low, "high": limit}
    return [{"name": name, **entry} for name in names]


def small(count: int = 60, episode: int = 20) -> Dataset:
    random = np.random.default_rng(0)
    states = random.normal(size=(count + 1, 6)).astype(np.float32)
    actions = random.uniform(-1, 1, size=(count, 1)).astype(np.float32)
    steps = np.arange(count) % episode
    after = states[1:].copy()
    observations = states[:-1].copy()
    return Dataset(
        observations,
        actions,
        actions * np.float32(0.9),
        random.normal(size=count).astype(np.float32),
        after,
        (steps == episode - 1) & (np.arange(count) < count // 2),
        (steps == episode - 1) & (np.arange(count) >= count // 2),
        {
            "signals": {
                "observation": entries("ab", None),
                "action": entries("c", 1.0),
                "frames": 3,
                "period_s": 0.02,
                "rig": None,
            },
            "environment": "Pendulum-v1",
            "teacher": {"parameters": 7, "sha256": "00"},
        },
    )


def assert_same(left: Dataset, right: Dataset) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
        assert getattr(left, name).dtype == getattr(right, name).dtype
    assert left.signals == right.signals
    assert left.metadata["teacher"] == right.metadata["teacher"]


def test_npz_round_trip(tmp_path: Path) -> None:
    write_dataset(tmp_path / "new" / "d.npz", small())
    assert_same(read_dataset(tmp_path / "new" / "d.npz"), small())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["d.npz"]


@pytest.fixture
def minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_minari_round_trip(minari_folder: Path) -> None:
    write_minari("test/small-v0", small())
    assert_same(read_dataset(Path("minari:test/small-v0")), small())
    with pytest.raises(UserError, match="has test/small-v0 already"):
        write_minari("test/small-v0", small())


@pytest.mark.filterwarnings("ignore::UserWarning:minari")
def test_minari_datasets_of_others_are_their_own_labels(minari_folder: Path) -> None:
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    episode = EpisodeBuffer(
        observations=np.ones((4, 3), np.float32),
        actions=np.full((3, 1), 1.5, np.float32),
        rewards=np.ones(3),
        terminations=np.zeros(3, bool),
        truncations=np.zeros(3, bool),
    )
    minari.create_dataset_from_buffers(
        "test/other-v0",
        [episode, episode],
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
        action_space=gymnasium.spaces.Box(-2, 2, (1,), np.float32),
    )
    dataset = read_minari("test/other-v0")
    np.testing.assert_array_equal(dataset.teacher_actions, dataset.actions)
    np.testing.assert_array_equal(np.flatnonzero(dataset.truncations), [2, 5])
    assert dataset.signals["action"][0]["scale"] == 2


def test_a_failed_minari_create_leaves_nothing(minari_folder: Path) -> None:
    bad = small()
    bad.metadata["unwritable"] = {1, 2}  # JSON has no sets
    with pytest.raises(TypeError):
        write_minari("test/bad-v0", bad)
    assert not (minari_folder / "test" / "bad-v0").exists()
    with pytest.raises(UserError, match="Minari has no test/bad-v0"):
        read_minari("test/bad-v0")
    with pytest.raises(UserError, match="is not a Minari name"):
        write_minari("no name", small())


def set_value(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][5] = value

    return change


def set_array(name: str, array: Any) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({name: array})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_value("observations", np.nan), "`observations` has NaN or infinity, first in row 5"),
        (set_value("rewards", np.inf), "`rewards` has NaN"),
        (
            set_array("rewards", np.full(60, -1e300)),
            "`rewards` has -1e.300 in row 0, beyond float32; scale",
        ),
        (set_value("actions", 3), "`actions` has 3 in row 5, column 0; its bounds are -1 to 1"),
        (lambda arrays: arrays.pop("rewards"), "no array `rewards`"),
        (set_array("actions", np.zeros((60, 2))), r"`actions` has shape \(60, 2\)"),
        (set_array("next_observations", np.zeros((59, 6))), r"has shape \(59, 6\)"),
        (set_array("terminations", np.zeros(60)), "must be bool"),
        (set_array("rewards", np.full(60, "a")), "must be float32"),
        (set_array("rewards", np.full(60, None)), "not a complete npz of plain arrays"),
        (set_array("metadata", np.zeros(3, np.uint8)), "metadata is not JSON"),
        (set_array("metadata", np.frombuffer(b"{}", np.uint8)), "metadata is not of a"),
    ],
)
def test_bad_arrays_are_one_line(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.npz"
    write_dataset(path, small())
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_in_an_npz_does_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "d.npz"
    np.savez(path, observations=np.array([Bomb()], dtype=object))
    with pytest.raises(UserError):
        read_dataset(path)
    path.write_bytes(pickle.dumps(path))
    with pytest.raises(UserError):
        read_dataset(path)
    assert not (tmp_path / "ran").exists()


def test_truncated_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with pytest.raises(UserError, match="no dataset at"):
        read_dataset(path)
    write_dataset(path, small())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="not a complete npz"):
        read_dataset(path)


def test_an_npz_of_another_tool_needs_no_metadata(tmp_path: Path) -> None:
    names = [name for name in ARRAYS if name != "teacher_actions"]
    np.savez(tmp_path / "d.npz", **{name: getattr(small(), name) for name in names})
    dataset = read_dataset(tmp_path / "d.npz")
    np.testing.assert_array_equal(dataset.teacher_actions, small().actions)
    assert len(dataset.signals["observation"]) == 6


def test_a_cut_episode_is_truncated() -> None:
    cut = small().first(33)
    assert len(cut) == 33 and cut.truncations[-1] and not cut.terminations[-1]
    assert not small().truncations[32]
    assert len(joined([cut, small()])) == 93


CHOSEN = np.tile([[2.0], [0.0], [1.0]], (20, 1)).astype(np.float32)
VALUES = 3 * (CHOSEN == np.arange(3)).astype(np.float32)


def save_choices(path: Path, **changes: Any) -> Path:
    """Transitions as another tool saves them: plain arrays, an executed choice now and then by
    chance."""
    dataset = small()
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    arrays |= {"actions": np.zeros_like(CHOSEN), "teacher_actions": CHOSEN, "q_values": VALUES}
    arrays = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


def test_labels_that_lack_are_the_most_valued_choices(tmp_path: Path) -> None:
    found = read_dataset(save_choices(tmp_path / "d.npz", teacher_actions=None))
    np.testing.assert_array_equal(found.teacher_actions, CHOSEN)
    assert found.choices is not None and found.choices.count == 3
    alike = VALUES - np.float32(1e-6) * VALUES  # what rounding does is no contradiction
    read_dataset(save_choices(tmp_path / "e.npz", q_values=np.maximum(alike, VALUES[:, ::-1])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q_values": VALUES[:, ::-1]}, "in 40 of 60 rows, first in row 0, `teacher_actions` is"),
        ({"q_values": VALUES[:, 0]}, r"`q_values` has shape \(60,\); it needs a row"),
        ({"rewards": np.float32(1)}, r"`rewards` has shape \(\); it needs a row"),
        ({"q_values": VALUES[:, :2]}, "its bounds are 0 to 1"),
        ({"q_values": None, "actions": CHOSEN.astype(int)}, "says whether these are numbers or ch"),
        (
            {"q_values": None, "actions": CHOSEN[:, 0], "teacher_actions": CHOSEN[:, 0]},
            r"`actions` has shape \(60,\); it needs a row per transition and a column per number",
        ),
    ],
)
def test_choices_of_other_tools_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(save_choices(tmp_path / "d.npz", **changes))
    assert "\n" not in str(caught.value)


def test_signals_repeat_over_frames_and_scale_with_the_data() -> None:
    scaled = standardised(small().signals, small().observations)
    offset, scale, *_ = normaliser(scaled)
    values = small().observations.reshape(-1, 2)
    np.testing.assert_allclose(offset, np.tile(values.mean(axis=0), 3), rtol=1e-4)
    np.testing.assert_allclose(scale, np.tile(values.std(axis=0), 3), rtol=1e-4)
    assert standardised(scaled, 5 * small().observations) == scaled


def test_signals_that_hardly_vary_count_as_constant_and_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warn.cache_clear()
    values = np.zeros((50, 3), np.float32)
    values[:, 0], values[:, 1], values[:, 2] = np.arange(50), 7.0, 1e-8 * np.arange(50)
    entry = {"unit": "", "scale": 1.0, "offset": 0.0, "low": None, "high": None}
    entries = [{"name": name, **entry} for name in ("position", "gravity", "field")]
    scaled = standardised({"observation": entries}, values)["observation"]
    scale = [entry["scale"] for entry in scaled]
    assert scale[0] > 1 and scale[1] == scale[2] == 1
    line = capsys.readouterr().err
    assert "observations of field vary by" in line and "1.4e-07" in line and "gravity" not in line


def test_a_rig_keeps_its_own_scales() -> None:
    signals = small().signals
    own = [{**entry, "scale": 2.0} for entry in signals["observation"]]
    kept = {**signals, "observation": own}
    assert standardised(kept, small().observations) == kept


def test_environments_that_cannot_be_distilled_say_so() -> None:
    import gymnasium

    with pytest.raises(UserError, match=r"FrozenLake-v1 has observations Discrete\(16\)"):
        environment_signals(gymnasium.make("FrozenLake-v1"))


@pytest.mark.parametrize("broken", [None, {"observation": []}, {"observation": [{"name": "a"}]}])
def test_broken_signals_are_one_line(broken: Any, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    write_dataset(path, replace(small(), metadata={"signals": broken}))
    with pytest.raises(UserError, match="signal"):
        read_dataset(path)


def test_a_bomb_of_zeros_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = make_bomb(tmp_path / "bomb.npz", "observations.npy")
    with pytest.raises(UserError, match="unpacks .* bytes to 2,147,483,648, as no transitions do"):
        read_dataset(bomb)


def masked(tmp_path: Path, labels: list[int], lowest: float) -> Path:
    """A dataset of two rows with three choices, of which the second is masked."""
    arrays = {name: getattr(small(2), name) for name in ARRAYS if name != "teacher_actions"}
    arrays["actions"] = np.zeros((2, 1), np.float32)
    logits = np.float32([[1.0, lowest, 2.0], [2.0, lowest, 1.0]])
    path = tmp_path / "masked.npz"
    np.savez(path, **arrays, logits=logits, teacher_actions=np.float32(labels)[:, None])
    return path


def test_labels_beside_masked_logits_are_checked_like_others(tmp_path: Path) -> None:
    lowest = float(np.finfo(np.float32).min)
    assert len(read_dataset(masked(tmp_path, [2, 0], lowest))) == 2
    for wrong in ([0, 0], [2, 1]):
        with pytest.raises(UserError, match="in 1 of 2 rows"):
            read_dataset(masked(tmp_path, wrong, lowest))
    with pytest.raises(UserError, match="choices that are masked a value far below"):
        read_dataset(masked(tmp_path, [2, 0], -np.inf))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"environment": 3}, "has 3 as environment"),
        ({"teacher": "me"}, "has 'me' as teacher"),
    ],
)
def test_metadata_of_another_type_is_told(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    dataset = small()
    write_dataset(tmp_path / "x.npz", replace(dataset, metadata=dataset.metadata | change))
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path / "x.npz")


def test_a_files_metadata_does_not_choose_the_rows_that_are_learnt(tmp_path: Path) -> None:
    dataset = small()
    spoiled = replace(dataset, metadata=dataset.metadata | {"task_rows": [3, 2]})
    write_dataset(tmp_path / "x.npz", spoiled)
    assert "task_rows" not in read_dataset(tmp_path / "x.npz").metadata
