"""Does `sparsectl identify` find a virtual rig's hidden numbers, and are its intervals honest?

    python benchmarks/identification.py --policy runs/demo/policy

Each unit is drawn from the rig's ranges; one trial in processor-in-the-loop mode, one fit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.identification.fit import fit
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, of_unit, start
from sparsectl.hil.identification.windows import cut
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_samples
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig

OUT = Path(__file__).parent / "results" / "identification.json"


def one_unit(policy: Path, seed: int, seconds: float) -> dict[str, Any]:
    """A trial on unit `seed`, and what is found of it beside the truth."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrialConfig(
            policy,
            mode="pil",
            clock="lockstep",
            seconds=seconds,
            seed=seed,
            randomised=True,
            disturbances=4,
            out=Path(folder) / "trial",
            report=False,
        )
        journal = read_journal(Path(run_trial(config)["journal"]))
    rig = load_rig(journal.header.rig)
    plant = Plant(rig)
    plant.reset(seed, randomised=True)
    truth = of_unit(rig, plant.parameters).values
    found = fit(cut(read_samples(journal)), start(rig))
    rows = zip(UNKNOWNS, truth, found.guess.values, found.low, found.high, strict=True)
    return {
        "seed": seed,
        "converged": found.converged,
        "parameters": {
            key(unknown): {"truth": true, "value": value, "low": low, "high": high}
            for unknown, true, value, low, high in rows
        },
    }


def main() -> None:
    """Run all units and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    seeds = range(options.units)
    units = [one_unit(options.policy, seed, options.seconds) for seed in tqdm(seeds, unit="unit")]
    inside = {
        key(unknown): sum(_covers(unit["parameters"][key(unknown)]) for unit in units)
        for unknown in UNKNOWNS
    }
    write_json(OUT, {"units": units, "inside": inside, "provenance": provenance()})
    for name, count in inside.items():
        print(f"{name:28s} {count} of {len(units)} within the 95 % interval")


def _covers(found: dict[str, float]) -> bool:
    return found["low"] <= found["truth"] <= found["high"]


if __name__ == "__main__":
    main()
