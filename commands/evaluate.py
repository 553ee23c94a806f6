"""`sparsectl evaluate`: measure one policy, or compare two in the same episodes."""

from __future__ import annotations

from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.rollouts.comparison import compare
from sparsectl.training.rollouts.evaluate import evaluate as evaluate_one


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure one policy, or compare two.

    Returns:
        What `training.rollouts.evaluate.evaluate` or `training.rollouts.comparison.compare` does.

    Raises:
        UserError: a policy or the environment does not load, they do not fit each other, or
            --compare is given together with --policy or --trace.
    """
    if config.compare is None:
        return evaluate_one(config)
    if config.policy is not None or config.trace is not None:
        raise UserError("--compare takes two policies and no other; leave --policy and --trace out")
    return compare(config, config.compare)
