"""The plant: one pendulum rig in MuJoCo, from the motor's duty to the encoders' counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np

from sparsectl.plants.motor import AnyMotor
from sparsectl.plants.rig import Rig
from sparsectl.plants.simulator_warnings import tell_warnings

MODELS_FOLDER = Path(__file__).parent / "models"

LONGEST_STEP_S = 0.002
"""Longest integration step. Halving it moves a 2 s free swing by less than an encoder count."""

BASE, POLE = 0, 1

StartKind = Literal["hanging", "upright", "uniform"]


@dataclass(frozen=True)
class Parameters:
    """The parameters that differ between units of a rig; the defaults are the rig's nominal
    values."""

    base_mass_factor: float = 1.0
    pole_mass_factor: float = 1.0
    pole_length_factor: float = 1.0
    viscous_friction_factor: float = 1.0
    coulomb_friction_factor: float = 1.0
    supply_factor: float = 1.0
    dead_zone_factor: float = 1.0
    rest_angle_bias_rad: float = 0.0
    transport_delay_periods: float = 0.0
    period_jitter: float = 0.0


def draw_parameters(rig: Rig, rng: np.random.Generator) -> Parameters:
    """Draw each parameter uniformly from the rig's range."""
    ranges = rig.randomisation
    return Parameters(
        **{field.name: rng.uniform(*getattr(ranges, field.name)) for field in fields(ranges)}
    )


def draw_start(
    rig: Rig, start: StartKind, rng: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Draw positions and velocities of base and pole at reset, SI units."""
    rest, base, pole = rig.start, rig.base, rig.pole
    spread = rng.uniform(-1.0, 1.0, 4)
    if start == "uniform":
        return (
            (0.6 * base.limit * spread[0], math.pi * spread[1]),
            (0.5 * base.velocity_scale * spread[2], pole.velocity_scale * spread[3]),
        )
    if start == "upright":
        return (
            (0.6 * base.limit * spread[0], 0.3 * spread[1]),
            (0.2 * base.velocity_scale * spread[2], 0.1 * pole.velocity_scale * spread[3]),
        )
    return (
        (rest.base * spread[0], math.pi + rest.pole_rad * spread[1]),
        (rest.base_velocity * spread[2], rest.pole_velocity * spread[3]),
    )


class Plant:
    """A pendulum whose time passes only in `advance`.

    A voltage motor's effort is constant within a call of `advance` but for the back-EMF, which acts
    as damping of the driven axis and is integrated implicitly with it; a current motor's is that of
    each step's speed. The transport delay and the
    period's jitter are the caller's: the environment draws them, firmware has them by nature.
    """

    def __init__(self, rig: Rig) -> None:
        tell_warnings()
        self.rig = rig
        self.model = mujoco.MjModel.from_xml_path(str(MODELS_FOLDER / rig.model))
        self.data = mujoco.MjData(self.model)
        self.motor: AnyMotor = rig.motor
        self.parameters = Parameters()
        self._duty = 0.0
        self._set_parameters(self.parameters)

    def reset(
        self,
        seed: int | np.random.Generator,
        *,
        randomised: bool = False,
        start: StartKind = "hanging",
    ) -> None:
        """Start a new episode at time 0 with the motor off.

        Args:
            seed: seed of the start state and the parameters, or the generator to draw them from.
            randomised: draw the parameters from the rig's ranges instead of using its nominal
                values.
            start: near rest with the pole hanging, near upright, or at any angle and speed.
        """
        rng = np.random.default_rng(seed)
        parameters = draw_parameters(self.rig, rng) if randomised else Parameters()
        self._set_parameters(parameters)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = draw_start(self.rig, start, rng)
        self.set_duty(0.0)

    def hang(self) -> None:
        """Bring the base to rest in the middle with the pole hanging, as homing requires."""
        # half a count and a hair off the edge between two counts, where rounding would flicker
        self.data.qpos[:] = self.rig.base.unit_per_count / 2, math.pi + 1e-5
        self.data.qvel[:] = 0.0

    @property
    def time_s(self) -> float:
        """Seconds since the reset."""
        return float(self.data.time)

    def set_duty(self, duty: float) -> None:
        """Set the motor's duty, -1 to 1, from now on."""
        self._duty = duty
        self.data.ctrl[0] = self._effort()

    def advance(self, duration_s: float) -> None:
        """Simulate `duration_s` seconds with the present duty."""
        if duration_s <= 0.0:
            return
        steps = math.ceil(duration_s / LONGEST_STEP_S)
        self.model.opt.timestep = duration_s / steps
        if not self.motor.needs_velocity:
            mujoco.mj_step(self.model, self.data, steps)
            return
        for _ in range(steps):
            self.data.ctrl[0] = self._effort()
            mujoco.mj_step(self.model, self.data)

    def counts(self) -> tuple[int, int]:
        """Return the encoders' counts: the base's from the middle, the pole's from hanging at
        rest."""
        position, angle = self.data.qpos.tolist()
        pole_rad = angle - math.pi - self.parameters.rest_angle_bias_rad
        return (
            math.floor(position / self.rig.base.unit_per_count),
            math.floor(pole_rad / self.rig.pole_rad_per_count),
        )

    def limit_switch_open(self) -> bool:
        """Return whether the base is on a limit switch; always False if the rig has none."""
        at = self.rig.base.limit_switch_at
        return at > 0 and abs(float(self.data.qpos[BASE])) >= at

    def current_a(self) -> float:
        """Motor current at the present duty, in A; 0 if the rig's file does not give it."""
        effort, velocity = float(self.data.ctrl[0]), float(self.data.qvel[BASE])
        return self.motor.current_a(effort, velocity)

    def state(self) -> tuple[float, float, float, float]:
        """Return the true state: base position and velocity (SI), pole angle (rad, 0 is upright)
        and velocity (rad/s)."""
        position, angle = self.data.qpos.tolist()
        velocity, pole_velocity = self.data.qvel.tolist()
        return position, velocity, wrap_angle(angle), pole_velocity

    def _effort(self) -> float:
        """Return the effort at the present duty and speed, in N or N m."""
        parameters, velocity = self.parameters, float(self.data.qvel[BASE])
        return self.motor.effort(
            self._duty, velocity, parameters.supply_factor, parameters.dead_zone_factor
        )

    def _set_parameters(self, parameters: Parameters) -> None:
        """Write the rig's masses, inertias and friction into the MuJoCo model."""
        self.parameters = parameters
        base, pole, model = self.rig.base, self.rig.pole, self.model
        base_id, pole_id = model.body("base").id, model.body("pole").id
        _set_rod(
            model, base_id, base.mass_kg * parameters.base_mass_factor, (base.length_m, 0.0, 0.0)
        )
        _set_rod(
            model,
            pole_id,
            pole.mass_kg * parameters.pole_mass_factor,
            (0.0, 0.0, pole.length_m * parameters.pole_length_factor),
            pole.tip_mass_kg * parameters.pole_mass_factor,
        )
        model.body_pos[pole_id] = (base.length_m, 0.0, 0.0)
        viscous, coulomb = parameters.viscous_friction_factor, parameters.coulomb_friction_factor
        model.dof_armature[BASE] = base.rotor_inertia
        model.dof_damping[BASE] = base.viscous_friction * viscous + self.motor.damping
        model.dof_damping[POLE] = pole.viscous_friction * viscous
        model.dof_frictionloss[BASE] = base.coulomb_friction * coulomb
        model.dof_frictionloss[POLE] = pole.coulomb_friction * coulomb
        mujoco.mj_setConst(model, self.data)


def wrap_angle(angle_rad: float) -> float:
    """Return the same angle within -π and π."""
    return math.remainder(angle_rad, 2.0 * math.pi)


def _set_rod(
    model: mujoco.MjModel,
    body: int,
    mass_kg: float,
    end_m: tuple[float, float, float],
    tip_mass_kg: float = 0.0,
) -> None:
    """Make a body a thin uniform rod from its origin to `end_m`, with a point mass at that end."""
    end = np.asarray(end_m)
    whole_kg = mass_kg + tip_mass_kg
    model.body_mass[body] = whole_kg
    model.body_ipos[body] = end * (mass_kg / 2.0 + tip_mass_kg) / whole_kg
    across = np.sum(end**2) - end**2  # squared length seen from each axis
    # About the common centre, by Steiner: the two parts' centres are half a length apart.
    about_centre = mass_kg / 12.0 + mass_kg * tip_mass_kg / (4.0 * whole_kg)
    # MuJoCo wants positive inertias; a thin rod has none about its own axis, a sliding cart none.
    model.body_inertia[body] = np.maximum(about_centre * across, 1e-9)
