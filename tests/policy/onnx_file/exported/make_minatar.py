"""Makes images/*.onnx here: MinAtar's network, few neurons wide, by both of torch's exporters
(torch 2.13), where exporting takes longer than all the tests of what is exported.

    python tests/policy/onnx_file/exported/make_minatar.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

HERE = Path(__file__).parent / "images"


class Network(nn.Module):  # type: ignore[misc]
    """As MinAtar's own DQN has it, for observations [batch, 10, 10, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3)
        self.head = nn.Sequential(nn.Linear(128, 6), nn.ReLU(), nn.Linear(6, 6))

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.conv(x.permute(0, 3, 1, 2)))
        return torch.argmax(self.head(x.flatten(1)), dim=1, keepdim=True)


torch.manual_seed(0)
network, image = Network().eval(), torch.zeros(2, 10, 10, 4)
torch.onnx.export(
    network,
    (image,),
    str(HERE / "minatar_dynamo.onnx"),
    dynamo=True,
    dynamic_shapes=({0: torch.export.Dim("batch")},),
    input_names=["observation"],
    external_data=False,
)
torch.onnx.export(
    network,
    (image,),
    str(HERE / "minatar_torchscript.onnx"),
    dynamo=False,
    dynamic_axes={"observation": {0: "batch"}},
    input_names=["observation"],
)
