"""Read and write datasets: an .npz, or Minari's local folder as `minari:ID`."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.common.files import check_file
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.minari import check_minari_place, read_minari, write_minari
from sparsectl.training.data.npz import read_npz, write_npz

MINARI = "minari:"


def read_dataset(path: Path) -> Dataset:
    """Read a dataset from an .npz or from Minari.

    Raises:
        UserError: it does not exist or is not a complete dataset.
    """
    place = str(path)
    return read_minari(place.removeprefix(MINARI)) if place.startswith(MINARI) else read_npz(path)


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write a dataset to an .npz or to Minari.

    Raises:
        UserError: Minari already has a dataset with that name, or is not installed.
    """
    if str(path).startswith(MINARI):
        write_minari(str(path).removeprefix(MINARI), dataset)
    else:
        write_npz(path, dataset)


def check_place(path: Path) -> None:
    """Check that a dataset can be written under that name.

    Raises:
        UserError: it cannot.
    """
    if str(path).startswith(MINARI):
        check_minari_place(str(path).removeprefix(MINARI))
        return
    if path.suffix != ".npz":
        raise UserError(f"out is {path}; give an .npz or minari:NAMESPACE/NAME-v0")
    check_file(path)
