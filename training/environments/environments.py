"""Make environments by name: Gymnasium's, sparsectl's, a rig file's or the user's own.

A name is text, since it travels in the metadata of datasets, students and ONNX files: a Gymnasium
id, `MINE.toml`, `module:Id-v0` or `module:Class`; with keyword arguments or wrappers it is JSON,
{"id": "Pendulum-v1", "kwargs": {"g": 9.0}, "wrappers": ["module:Class"]}.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium

from sparsectl.common.errors import UserError
from sparsectl.training.environments.checked_environment import (
    RAISED,
    CheckedEnvironment,
    own_attribute,
)
from sparsectl.training.environments.families import made_of_family
from sparsectl.training.environments.flat_observation import FlatObservation, is_flat

MODULES_KNOWN = ("gymnasium",)
"""Packages whose environments may be made by a file's metadata without the user naming them."""

STEPS_LIMIT = "max_episode_steps"


@dataclass(frozen=True)
class EnvironmentParts:
    """The parts of a name.

    Attributes:
        id: Gymnasium id, rig file, `module:Id-v0` or `module:Class`.
        kwargs: keyword arguments of its constructor; JSON.
        wrappers: `module:Class` of each, innermost first.
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name as text."""
        if not self.kwargs and not self.wrappers:
            return self.id
        parts = {"id": self.id, "kwargs": self.kwargs, "wrappers": list(self.wrappers)}
        return json.dumps({key: value for key, value in parts.items() if value}, sort_keys=True)

    @property
    def modules(self) -> set[str]:
        """Return the modules that must be imported to make the environment."""
        places = [text for text in (self.id, *self.wrappers) if ":" in text]
        return {place.partition(":")[0] for place in places}

    @property
    def options(self) -> str:
        """Return the options of a command line that name the environment."""
        words = [f"--env {self.id}"]
        words += [f"--env-kwargs '{json.dumps(self.kwargs)}'"] if self.kwargs else []
        words += [f"--wrapper {wrapper}" for wrapper in self.wrappers]
        return " ".join(words)


def parts_of(name: str) -> EnvironmentParts:
    """Return the parts of a name.

    Raises:
        UserError: the name begins like JSON but is not such an object.
    """
    if not name.startswith("{"):
        return EnvironmentParts(name)
    try:
        said = json.loads(name)
        parts = EnvironmentParts(
            said["id"], said.get("kwargs", {}), tuple(said.get("wrappers", ()))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f'env is {name[:80]!r}; give an id, or JSON {{"id": …, "kwargs": …, "wrappers": …}}'
        ) from error
    texts = (parts.id, *parts.wrappers)
    if not all(isinstance(text, str) for text in texts) or not isinstance(parts.kwargs, dict):
        raise UserError(f"env is {name[:80]!r}; id and wrappers are text, kwargs is an object")
    return parts


def named_environment(env: str, env_kwargs: Sequence[str], wrapper: Sequence[str]) -> str:
    """Return the name of the environment that a command's options ask for.

    Raises:
        UserError: an option has the wrong form.
    """
    parts = parts_of(env)
    for place in wrapper:
        module, colon, name = place.partition(":")
        if not (module and colon and name):
            raise UserError(f"wrapper is {place!r}; give module:Class")
    kwargs = {**parts.kwargs, **keyword_arguments(env_kwargs)}
    return EnvironmentParts(parts.id, kwargs, (*parts.wrappers, *wrapper)).name


def keyword_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Parse keyword arguments from JSON objects and words `key=value`, whose values are JSON,
    Python's True, False, None and the like, or text.

    Raises:
        UserError: a word is neither.
    """
    arguments: dict[str, Any] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            try:
                arguments |= json.loads(word)
            except ValueError as error:
                raise UserError(f"env-kwargs is {word!r}, which is not JSON ({error})") from error
            continue
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"env-kwargs is {word!r}; give key=value, or a JSON object")
        arguments[key] = _value(value)
    return arguments


def _value(text: str) -> Any:
    """Return what a text says; as text "False" would count as true."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of 8x8 as a number
            return json.loads(json.dumps(ast.literal_eval(text)))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text


def chosen_environment(
    env: str | None,
    env_kwargs: Sequence[str],
    wrapper: Sequence[str],
    known: str | None,
    source: Path,
) -> str | None:
    """Return the environment for a command: the one that the user asked for, else the one in its
    input.

    If the user asks for the input's id without further options, the input's keyword arguments and
    wrappers apply. Modules that a file names are imported only if the user names them too, so
    nothing that someone sent runs code.

    Args:
        env, env_kwargs, wrapper: the command's options.
        known: the environment in the input's metadata.
        source: the input's file.

    Raises:
        UserError: options exclude each other, or the input's environment must be named explicitly.
    """
    if env is None and (env_kwargs or wrapper):
        if known is None:
            raise UserError(f"{source} names no environment; give one with --env")
        env = parts_of(known).id
    asked = None if env is None else parts_of(named_environment(env, env_kwargs, wrapper))
    if known is None:
        return asked.name if asked else None
    there = parts_of(known)
    if asked is not None and (asked.id != there.id or asked.kwargs or asked.wrappers):
        return asked.name
    said = set() if asked is None else asked.modules
    unsaid = there.modules - said - set(MODULES_KNOWN)
    unsaid = {name for name in unsaid if name.partition(".")[0] not in MODULES_KNOWN}
    if unsaid:
        raise UserError(
            f"{source} was made in an environment of the module {sorted(unsaid)[0]}, which is only "
            f"imported when you name it: {there.options}"
        )
    return known


def make_environment(name: str, options: dict[str, Any] | None = None) -> gymnasium.Env[Any, Any]:
    """Make the environment of that name; observations that are not vectors are flattened.

    Args:
        name: as this module's docstring has it.
        options: further keyword arguments.

    Raises:
        UserError: there is no such environment, it lacks something, or refuses the options.
    """
    from sparsectl.plants import OWN_RIG  # the import registers sparsectl/...

    parts = parts_of(name)
    place, kwargs = parts.id, {**parts.kwargs, **(options or {})}
    if place.endswith(".toml"):
        place, kwargs = OWN_RIG, {**kwargs, "rig": place}
    environment = _made(place, kwargs)
    if "mujoco" in sys.modules:  # whoever imported it
        from sparsectl.plants.simulator_warnings import tell_warnings

        tell_warnings()
    for side in ("observation_space", "action_space"):
        if not isinstance(own_attribute(environment, side), gymnasium.Space):
            raise UserError(f"{parts.id} has no {side}; set it to a gymnasium.spaces.Box")
    for wrapper in parts.wrappers:
        environment = _wrapped(environment, wrapper)
    checked = CheckedEnvironment(environment, parts.id)  # before anything takes it apart
    return checked if is_flat(environment) else FlatObservation(checked, parts.id)


def rig_of(name: str, options: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the arguments of `PendulumEnv` if the name is a rig's without wrappers.

    Such an environment's episodes may be run many at once (`plants.side_by_side`).

    Args:
        name: as this module's docstring has it.
        options: further keyword arguments.

    Returns:
        dict | None: with `rig` and maybe `randomised` and `start`; None: it is another's, or is
        made with what only its class knows how to take or refuse.
    """
    from sparsectl.plants import ENTRY_POINT, OWN_RIG

    parts = parts_of(name)
    place, kwargs = parts.id, {**parts.kwargs, **(options or {})}
    if place.endswith(".toml"):
        place, kwargs = OWN_RIG, {**kwargs, "rig": place}
    spec = gymnasium.registry.get(place)
    if spec is None or spec.entry_point != ENTRY_POINT or parts.wrappers:
        return None
    kwargs = {**spec.kwargs, **kwargs}
    known = {"rig": str, "randomised": bool, "start": str}
    fits = all(isinstance(value, known.get(key, ())) for key, value in kwargs.items())
    return kwargs if fits and "rig" in kwargs else None


def _made(place: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    module, colon, rest = place.partition(":")
    try:
        if not colon:
            of_family = made_of_family(place, kwargs)
            return of_family or gymnasium.make(place, **kwargs)
        imported = _imported(module, f"--env {place}")
        if rest in gymnasium.registry or not hasattr(imported, rest):
            return gymnasium.make(rest, **kwargs)
        return _of_class(imported, rest, dict(kwargs))
    except UserError:
        raise
    except RAISED as error:
        mend = (
            "name a Gymnasium id such as sparsectl/sensorsini_cartpole-v0, or your own "
            "module:Id-v0 or module:Class"
        )
        if kwargs and place in gymnasium.registry:
            mend = f"correct its --env-kwargs {', '.join(kwargs)}"
        raise UserError(
            f"cannot make the environment {place!r}: {_reason(error)}; {mend}"
        ) from error


def _of_class(module: Any, name: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    steps = kwargs.pop(STEPS_LIMIT, None)
    environment = getattr(module, name)(**kwargs)
    if not isinstance(environment, gymnasium.Env):
        raise UserError(
            f"{module.__name__}:{name} makes a {type(environment).__name__}, which is no "
            "gymnasium.Env; derive it from that"
        )
    return environment if steps is None else gymnasium.wrappers.TimeLimit(environment, int(steps))


def _wrapped(environment: gymnasium.Env[Any, Any], place: str) -> gymnasium.Env[Any, Any]:
    module, _, name = place.partition(":")
    imported = _imported(module, f"--wrapper {place}")
    try:
        wrapped = getattr(imported, name)(environment)
    except UserError:
        raise
    except RAISED as error:
        raise UserError(
            f"cannot wrap the environment in {place}: {_reason(error)}; a wrapper is called with "
            "the environment alone"
        ) from error
    if not isinstance(wrapped, gymnasium.Env):
        raise UserError(f"{place} gives a {type(wrapped).__name__}, which is not a gymnasium.Env")
    return wrapped


def _imported(module: str, asked_by: str) -> Any:
    """Import the module, also from the current folder, which goes last on the path."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module)
    except RAISED as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        mend = "run in the folder that has it, or name that folder in PYTHONPATH"
        if module.endswith(".py"):
            mend = f"name the module, {Path(module).stem}, not its file; {mend}"
        raise UserError(
            f"{asked_by}: cannot import {module} ({type(error).__name__}: {reason}); {mend}"
        ) from error


_LONGEST = 160
"""Characters of an exception's text that are shown."""


def _reason(error: BaseException) -> str:
    """Format an exception in one line, without what Gymnasium adds to it."""
    said = " ".join(str(error).split()).partition(" was raised from the environment creator")[0]
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    if isinstance(error, SystemExit):
        return f"it calls sys.exit ({said or 'no message'})"
    return said or type(error).__name__
