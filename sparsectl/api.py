"""The commands as Python functions: `from sparsectl import api`.

Each function takes the settings of its command under the same names and returns what `--json`
prints. The functions are not in `sparsectl` itself, where `export` is a package.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from sparsectl.cli import COMMANDS
from sparsectl.cli import load as _function
from sparsectl.command_line.config import AdaptConfig, ChooseConfig, ParetoConfig, SweepConfig
from sparsectl.command_line.former_names import in_settings
from sparsectl.common.declared import as_declared
from sparsectl.common.nested import replaced
from sparsectl.firmware_host.config import BenchConfig, BuildConfig, FlashConfig
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.config import IdentifyConfig, ReportConfig
from sparsectl.hil.convert.config import ConvertConfig
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.training.config import CollectConfig, DistillConfig, EvaluateConfig, TeachConfig
from sparsectl.training.settings import (
    DaggerOptions,
    EvidenceOptions,
    FinetuneOptions,
    SearchOptions,
)

if TYPE_CHECKING:
    from sparsectl.policy.graph import PolicyGraph

__all__ = [
    "DaggerOptions",
    "EvidenceOptions",
    "FinetuneOptions",
    "SearchOptions",
    "adapt",
    "bench",
    "build",
    "collect",
    "convert",
    "distill",
    "evaluate",
    "export",
    "flash",
    "identify",
    "load",
    "pareto",
    "replay",
    "report",
    "sweep",
    "teach",
    "trial",
]

_Settings = ParamSpec("_Settings")


def load(
    path: Path | str,
    *,
    output: str | None = None,
    normalizer: Path | str | None = None,
    argmax: bool = False,
) -> PolicyGraph:
    """Load the policy in a student.safetensors, an .onnx, a Stable-Baselines3 .zip, a
    .cleanrl_model or a policy's folder. Its `forward` maps physical observations [B, n] to physical
    actions [B, m], in the order of operations of the exported C. The options are those of `export`.

    Raises:
        UserError: the file does not exist, is of an unknown kind, or holds a policy that cannot be
            exported.
    """
    from sparsectl.policy.load import LoadOptions
    from sparsectl.policy.load import load as load_file

    statistics = None if normalizer is None else Path(normalizer)
    return load_file(Path(path), LoadOptions(output, statistics, argmax=argmax))


def _verb(name: str, config: Callable[_Settings, Any]) -> Callable[_Settings, dict[str, Any]]:
    """Return a command's function, which takes the fields of its settings as arguments.

    The dataclass is named again in each call since a type checker cannot look it up in a registry.
    """
    assert COMMANDS[name].config is config, name

    def verb(*args: _Settings.args, **kwargs: _Settings.kwargs) -> dict[str, Any]:
        settings = in_settings(name, kwargs)
        paths = {path: settings.pop(path) for path in list(settings) if "." in path}
        names: Any = inspect.signature(config).parameters
        own: Any = dict(zip(names, args, strict=False)) | settings
        if len(args) > len(names) or len(own) < len(args) + len(settings):
            config(*args, **settings)  # raises Python's own TypeError
        own = {field: as_declared(config, field, value) for field, value in own.items()}
        return _function(COMMANDS[name].function)(replaced(config(**own), paths))

    verb.__name__ = verb.__qualname__ = name
    verb.__doc__ = f"`sparsectl {name}`: {config.__doc__}"
    return verb


teach = _verb("teach", TeachConfig)
collect = _verb("collect", CollectConfig)
distill = _verb("distill", DistillConfig)
evaluate = _verb("evaluate", EvaluateConfig)
pareto = _verb("pareto", ParetoConfig)
export = _verb("export", ChooseConfig)
build = _verb("build", BuildConfig)
flash = _verb("flash", FlashConfig)
bench = _verb("bench", BenchConfig)
trial = _verb("trial", TrialCommand)
replay = _verb("replay", ReplayConfig)
convert = _verb("convert", ConvertConfig)
identify = _verb("identify", IdentifyConfig)
adapt = _verb("adapt", AdaptConfig)
report = _verb("report", ReportConfig)
sweep = _verb("sweep", SweepConfig)
