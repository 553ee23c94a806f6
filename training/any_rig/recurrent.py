"""Students for any rig as they learn: a GRU, and beside it one that sees stacked frames."""

from __future__ import annotations

import torch

from sparsectl.training.any_rig.acting import CONSTANTS, SIGNALS, Acting, ActingStack, Array


class GruStudent(torch.nn.Module):
    """A GRU and one layer to the duty, through tanh."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(SIGNALS + CONSTANTS, units)
        self.duty = torch.nn.Linear(units, 1)

    def forward(
        self, inputs: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return duties [ticks, rigs] for [ticks, rigs, inputs], and the state after; None: the
        state is reset."""
        hidden, state = self.gru(inputs, state)
        return torch.tanh(self.duty(hidden))[..., 0], state

    def in_order(self) -> list[torch.Tensor]:
        """Return the parameters in the order of `Acting`."""
        gru = [f"{kind}_{side}_l0" for kind in ("weight", "bias") for side in ("ih", "hh")]
        return [*(self.gru.get_parameter(name) for name in gru), self.duty.weight, self.duty.bias]

    @property
    def deployed_weights(self) -> int:
        """Return the number of weights and biases that run on a board, with the constants
        folded."""
        units = self.gru.hidden_size
        return 3 * units * (SIGNALS + units) + 6 * units + units + 1


class StackStudent(torch.nn.Module):
    """The frame-stacked student beside it: two layers on the last frames, without a state."""

    def __init__(self, frames: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.frames, self.first = frames, hidden[0]
        size = frames * SIGNALS + CONSTANTS
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(size, hidden[0]),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden[0], hidden[1]),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden[1], 1),
            torch.nn.Tanh(),
        )

    def forward(
        self, inputs: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return duties [ticks, rigs] for [ticks, rigs, inputs], and the frames that come before
        the next tick; None: the first frame fills the history."""
        before = inputs[:1].expand(self.frames - 1, -1, -1) if state is None else state
        known = torch.cat([before, inputs])
        ticks = len(inputs)
        stacked = [known[k : k + ticks, :, :SIGNALS] for k in range(self.frames)]
        duties = self.layers(torch.cat([*stacked, inputs[..., SIGNALS:]], dim=-1))
        return duties[..., 0], known[ticks:]

    @property
    def deployed_weights(self) -> int:
        """Return the number of weights and biases that run on a board, with the constants
        folded."""
        folded = CONSTANTS * self.first
        return sum(array.numel() for array in self.parameters()) - folded


Student = GruStudent | StackStudent


def acting(student: Student) -> Acting | ActingStack:
    """Return the present student in numpy."""
    if isinstance(student, GruStudent):
        return Acting(*(_numbers(array) for array in student.in_order()))
    layers = [layer for layer in student.layers if isinstance(layer, torch.nn.Linear)]
    weights = [_numbers(layer.weight) for layer in layers]
    return ActingStack(student.frames, weights, [_numbers(layer.bias) for layer in layers])


def _numbers(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().numpy().copy()
    return array
