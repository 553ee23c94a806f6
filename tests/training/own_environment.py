"""An environment as users write one: Dict observations, actions that are not ±1, and ways to fail.

Tests copy this file into a folder, as the module of a user's own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

STEPS = 20
REWARDS = {"reward": float("inf"), "large": 1e300, "none": None, "two": np.ones(2)}
"""That no reward can be."""


class Reach(gymnasium.Env[Any, Any]):
    """A point that moves as the action says; `bad` names what goes wrong in step 7."""

    def __init__(self, gain: float = 0.1, bad: str | None = None) -> None:
        self.observation_space = Dict(
            {
                "place": Box(-1, 1, (2,), np.float64),
                "goal": Box(-1, 1, (1, 2), np.float32),
                "battery": Box(0, 1, (1,), np.float32),
            }
        )
        self.action_space = Box(np.float32([-2, 0.5]), np.float32([1, 3]))
        self.gain, self.bad = gain, bad

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-1, 1, (2, 2))
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 7 and self.bad == "raise":
            raise RuntimeError("the arm\nis stuck")
        self.place = np.clip(self.place + self.gain * action, -1, 1)
        reward = -float(np.sum((self.place - self.goal) ** 2))
        if self.steps == 7 and self.bad == "nan":
            self.place[1] = np.nan
        if self.steps == 7 and self.bad == "exit":
            sys.exit(7)
        if self.steps == 7 and self.bad in REWARDS:
            return self._observation(), REWARDS[self.bad], False, False, {}  # type: ignore[return-value]
        if self.steps == 7 and self.bad == "old":
            return self._observation(), reward, False, {}  # type: ignore[return-value]
        return self._observation(), reward, False, self.steps >= STEPS, {}

    def _observation(self) -> dict[str, Any]:
        battery = np.float32([1 - self.steps / STEPS])
        goal = self.goal[None].astype(np.float32)
        return {"place": self.place.copy(), "goal": goal, "battery": battery}


class Endless(Reach):
    """One that never ends."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:3], False, {}


class Twice(gymnasium.ActionWrapper[Any, Any, Any]):
    """A wrapper that needs nothing but the environment."""

    def action(self, action: Any) -> Any:
        return 2 * action


class Picky(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that needs more than that."""

    def __init__(self, environment: Any, how: str) -> None:
        super().__init__(environment)


class Pictures(gymnasium.Env[Any, Any]):
    observation_space = Dict({"camera": Box(0, 255, (8, 8, 3), np.uint8), "x": Box(-1, 1, (2,))})
    action_space = Box(-1, 1, (1,))


class OldReset(Reach):
    """Of an API before Gymnasium's."""

    def reset(self, **asked: Any) -> Any:
        return super().reset(**asked)[0]


class Careless(Reach):
    """It ends the program where it lacks something."""

    def __init__(self) -> None:
        sys.exit("no licence")


class Bare(gymnasium.Env[Any, Any]):
    """It does not say what it takes and gives."""


class Whole(Reach):
    """Actions are whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(-2, 2, (2,), np.int64)


class Switches(Reach):
    """Two switches to set in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = MultiDiscrete([2, 3])


class Lone(Reach):
    """One switch that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Discrete(1)


class Fixed(Reach):
    """The second action leaves nothing to choose."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(np.float32([-2, 1]), np.float32([2, 1]))


class Lever(gymnasium.Env[Any, Any]):
    """A lever that is pulled, left or pushed, -1 to 1, as the observation's sign asks."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(3, start=-1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action * np.sign(self.seen[0]))
        self.steps += 1
        return self._observation(), reward, False, self.steps >= STEPS, {}

    def _observation(self) -> Any:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen.copy()


class FromZero(gymnasium.ActionWrapper[Any, Any, Any]):
    """Choices that are numbered from 0 whatever the environment numbers them from."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        super().__init__(environment)
        inner: Any = environment.action_space
        self.action_space, self.first = Discrete(int(inner.n)), inner.start

    def action(self, action: Any) -> Any:
        return action + self.first


gymnasium.register("Reach-v0", entry_point="own_environment:Reach")


class Deadly(Reach):
    """One whose worker dies in step 7, as one does that the system kills for its memory."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.steps == 6 and multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().step(action)


class Vast(gymnasium.Env[Any, Any]):
    """Its observations and rewards are numbers of float32 whose squares are none."""

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.left = STEPS
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return self._seen(), 1e30, False, not self.left, {}

    def _seen(self) -> Any:
        return (1e30 * self.np_random.normal(size=3)).astype(np.float32)
