"""Draw the pendulum as SVG from its position and angle."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 360
MIDDLE_X, TRACK_Y = WIDTH / 2, 190.0
HALF_TRACK = 260.0
POLE = 130.0
ARM = 54.0


@dataclass(frozen=True)
class Shape:
    """The geometry of a rig that the picture needs."""

    is_rotary: bool
    base_limit: float
    """End of the track, or of the arm's travel, in m or rad."""


def pendulum(shape: Shape, base: float, angle_rad: float, colour: str) -> str:
    """Draw the rig seen from the front (a cart), or its arm from above beside its pole (a rotary
    one).

    base: metres or radians; angle_rad: 0 upright, positive clockwise on the screen; colour: CSS.
    """
    draw = _rotary if shape.is_rotary else _linear
    body = draw(shape, base, angle_rad, colour)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="pendulum, '
        f'{math.degrees(angle_rad):.0f} degrees from upright" '
        f'style="width:100%;height:auto;display:block">{body}</svg>'
    )


def _linear(shape: Shape, base: float, angle_rad: float, colour: str) -> str:
    x = MIDDLE_X + HALF_TRACK * max(-1.1, min(1.1, base / shape.base_limit))
    ends = "".join(
        _line(MIDDLE_X + side * HALF_TRACK, TRACK_Y - 14, 0, 28, "currentColor", 3)
        for side in (-1, 1)
    )
    track = _line(MIDDLE_X - HALF_TRACK - 30, TRACK_Y, 2 * HALF_TRACK + 60, 0, "currentColor", 2)
    cart = (
        f'<rect x="{x - 32:.1f}" y="{TRACK_Y - 16:.1f}" width="64" height="32" rx="6" '
        'fill="currentColor" opacity="0.85"/>'
    )
    return f'<g opacity="0.45">{track}{ends}</g>{cart}{_pole(x, TRACK_Y, angle_rad, colour)}'


def _rotary(shape: Shape, base: float, angle_rad: float, colour: str) -> str:
    left, right = WIDTH * 0.27, WIDTH * 0.7
    across, along = -ARM * math.sin(base), -ARM * math.cos(base)  # z is up: anticlockwise
    dial = (
        f'<circle cx="{left}" cy="{TRACK_Y}" r="{ARM + 12}" fill="none" stroke="currentColor" '
        'opacity="0.45" stroke-width="2"/>'
    )
    arm = _line(left, TRACK_Y, across, along, "currentColor", 10)
    words = _words(left, "arm, from above") + _words(right, "pole, from the hub")
    return f"{dial}{arm}{_pole(right, TRACK_Y, angle_rad, colour)}{words}"


def _pole(x: float, y: float, angle_rad: float, colour: str) -> str:
    across, along = POLE * math.sin(angle_rad), -POLE * math.cos(angle_rad)
    hinge = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>'
    return _line(x, y, across, along, colour, 9) + hinge


def _line(x: float, y: float, dx: float, dy: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x + dx:.1f}" y2="{y + dy:.1f}" '
        f'stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'
    )


def _words(x: float, text: str) -> str:
    return (
        f'<text x="{x:.0f}" y="{HEIGHT - 8}" text-anchor="middle" font-size="15" '
        f'fill="currentColor" opacity="0.7">{text}</text>'
    )
