"""Run policy.onnx in onnxruntime, to verify an export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.writer import STATE_IN, STATE_OUT


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open the file in onnxruntime with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def acting(
    session: onnxruntime.InferenceSession, graph: PolicyGraph
) -> Callable[[Float32], Float32]:
    """Return the file as a function from [count, observation_size] to [count, action_size]; for a
    policy that keeps a state, from [count, observation and state] to [count, action and next
    state]."""

    def act(observations: Float32) -> Float32:
        actions: Float32 = session.run(["action"], {"observation": observations})[0]
        return actions

    def tick(rows: Float32) -> Float32:
        observation, state = np.split(np.asarray(rows, np.float32), [graph.observation_size], 1)
        given = {"observation": observation, STATE_IN: state}
        return np.concatenate(session.run(["action", STATE_OUT], given), axis=1)

    return tick if graph.state_size else act
