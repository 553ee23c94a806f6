"""Pendulum rigs: a parameter file a rig, MuJoCo models, Gymnasium environments.

Importing this package registers `sparsectl/RIG-v0` with Gymnasium for each rig in `rigs/`.
"""

from __future__ import annotations

import gymnasium

from training.plants.rig import rig_names

for _name in rig_names():
    gymnasium.register(
        id=f"sparsectl/{_name}-v0",
        entry_point="training.plants.environment:PendulumEnv",
        kwargs={"rig": _name},
    )
