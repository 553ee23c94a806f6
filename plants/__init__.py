"""Pendulum rigs: one parameter file per rig, MuJoCo models, Gymnasium environments.

Importing this package registers `sparsectl/RIG-v0` with Gymnasium for each rig in `rigs/`, and
`sparsectl/rig-v0` for rigs of the user's own: `gymnasium.make("sparsectl/rig-v0",
rig="my_rig.toml")`.
"""

from __future__ import annotations

import gymnasium

from sparsectl.plants.rig import rig_names

ENTRY_POINT = "sparsectl.plants.environment:PendulumEnv"
OWN_RIG = "sparsectl/rig-v0"

for _name in rig_names():
    gymnasium.register(id=f"sparsectl/{_name}-v0", entry_point=ENTRY_POINT, kwargs={"rig": _name})
gymnasium.register(id=OWN_RIG, entry_point=ENTRY_POINT)
