"""Read and write datasets in Minari's local folder; nothing is fetched from its hub."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.files import check_writable
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.choices import VALUES
from sparsectl.training.data.dataset import VALUES_KIND, Dataset, best_choices, checked
from sparsectl.training.environments.signals import environment_signals

TEACHER_ACTION = "teacher_action"


def write_minari(dataset_id: str, dataset: Dataset) -> None:
    """Write the dataset to Minari's local folder under `dataset_id`, such as `cartpole/sac-v0`.

    Raises:
        UserError: the name is no Minari name or is taken, or minari is not installed.
    """
    minari = _minari()
    folder = check_minari_place(dataset_id)
    try:
        with warnings.catch_warnings():  # of fields that only a dataset for its hub needs
            warnings.simplefilter("ignore", UserWarning)
            _create(minari, dataset_id, dataset)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # Minari leaves half a dataset behind
        raise


def check_minari_place(dataset_id: str) -> Path:
    """Return the folder of a dataset that is to be written.

    Raises:
        UserError: the name is no Minari name or is taken, minari is not installed, or its folder
            cannot be written.
    """
    _minari()
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except ValueError as error:
        raise UserError(
            f"{dataset_id} is not a Minari name; use one such as cartpole/sac-v0"
        ) from error
    folder = Path(get_dataset_path(dataset_id))
    if folder.exists():
        raise UserError(f"Minari has {dataset_id} already, at {folder}; choose another name")
    check_writable(folder.parent)
    return folder


def read_minari(dataset_id: str) -> Dataset:
    """Read a dataset from Minari's local folder; actions are their own labels unless it contains
    others.

    Raises:
        UserError: it does not exist, is damaged, or has spaces that no policy here supports.
    """
    minari = _minari()
    try:
        stored = minari.load_dataset(dataset_id, download=False)
        episodes = list(stored.iterate_episodes())
    except FileNotFoundError as error:
        raise UserError(
            f"Minari has no {dataset_id} here; download it with `minari download {dataset_id}`"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"Minari's {dataset_id} cannot be read ({error}); download it again"
        ) from error
    if not episodes:
        raise UserError(f"Minari's {dataset_id} has no episodes; choose another")
    metadata = _metadata(stored)
    for episode in episodes:
        if not isinstance(episode.observations, np.ndarray):
            raise UserError(f"Minari's {dataset_id} has observations that are not plain vectors")
    return checked(_joined(episodes, metadata), Path(f"minari:{dataset_id}"))


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise UserError("minari is not installed; pip install 'sparsectl[minari]'") from error
    return minari


def _create(minari: Any, dataset_id: str, dataset: Dataset) -> None:
    signals = dataset.signals
    size, action_size = dataset.observations.shape[1], dataset.actions.shape[1]
    limits = [
        [np.inf * sign if entry[key] is None else entry[key] for entry in signals["action"]]
        for key, sign in (("low", -1), ("high", 1))
    ]
    low, high = (np.asarray(limit, np.float32).reshape(action_size) for limit in limits)
    stored = minari.create_dataset_from_buffers(
        dataset_id,
        _buffers(dataset),
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32),
        action_space=gymnasium.spaces.Box(low, high, dtype=np.float32),
        algorithm_name="sparsectl collect",
        author="sparsectl",
        description=f"A teacher's transitions in {dataset.metadata.get('environment')}",
    )
    stored.storage.update_metadata({"sparsectl": json.dumps(dataset.metadata, allow_nan=False)})


def _buffers(dataset: Dataset) -> list[Any]:
    from minari.data_collector import EpisodeBuffer

    ends = np.flatnonzero(dataset.terminations | dataset.truncations) + 1
    if not ends.size or ends[-1] != len(dataset):
        ends = np.append(ends, len(dataset))
    buffers = []
    for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        part = slice(int(start), int(end))
        observations = dataset.observations[part]
        buffers.append(
            EpisodeBuffer(
                id=index,
                observations=_with_last(observations, dataset.next_observations[part]),
                actions=dataset.actions[part],
                rewards=dataset.rewards[part],
                terminations=dataset.terminations[part],
                truncations=dataset.truncations[part],
                infos=_infos(dataset, part),
            )
        )
    return buffers


def _infos(dataset: Dataset, part: slice) -> dict[str, Array]:
    """Return the teacher's labels in Minari's form, which has T + 1 of them."""
    labels = {TEACHER_ACTION: dataset.teacher_actions[part]}
    if dataset.teacher_values is not None:
        labels[dataset.metadata[VALUES_KIND]] = dataset.teacher_values[part]
    return {name: _with_last(values, values) for name, values in labels.items()}


def _with_last(values: Array, last: Array) -> Array:
    return np.concatenate([values, last[-1:]])


def _metadata(stored: Any) -> dict[str, Any]:
    own = stored.storage.metadata.get("sparsectl")
    if own is not None:
        metadata: dict[str, Any] = json.loads(own)
        return metadata
    spaces = gymnasium.Env[Any, Any]()
    spaces.observation_space = stored.observation_space
    spaces.action_space = stored.action_space
    environment = stored.env_spec.id if stored.env_spec is not None else None
    return {
        "signals": environment_signals(spaces),
        "environment": environment,
        "teacher": None,
    }


def _joined(episodes: list[Any], metadata: dict[str, Any]) -> Dataset:
    def all_of(values: list[Any]) -> Any:
        return np.concatenate(values)

    truncations = []
    for episode in episodes:
        cut = np.array(episode.truncations, bool)
        cut[-1] |= not episode.terminations[-1]
        truncations.append(cut)
    kind = next((kind for kind in VALUES if kind in (episodes[0].infos or {})), None)
    values = None
    if kind is not None:
        values = all_of([e.infos[kind][: len(e.actions)] for e in episodes])
        metadata = {**metadata, VALUES_KIND: kind}
    labels = all_of([_labels(e) for e in episodes])
    if values is not None and TEACHER_ACTION not in episodes[0].infos:
        labels = best_choices(values, metadata["signals"])
    return Dataset(
        observations=all_of([e.observations[:-1] for e in episodes]),
        actions=all_of([_column(e.actions) for e in episodes]),
        teacher_actions=labels,
        rewards=all_of([e.rewards for e in episodes]),
        next_observations=all_of([e.observations[1:] for e in episodes]),
        terminations=all_of([e.terminations for e in episodes]),
        truncations=all_of(truncations),
        metadata=metadata,
        teacher_values=values,
    )


def _labels(episode: Any) -> Any:
    infos = episode.infos or {}
    labels = infos.get(TEACHER_ACTION)
    return _column(episode.actions if labels is None else labels[: len(episode.actions)])


def _column(actions: Any) -> Any:
    """Convert indices of choices from Minari's [T] to [T, 1]."""
    return actions[:, None] if np.ndim(actions) == 1 else actions
