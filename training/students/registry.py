"""The kinds of student, and the noise of the Bayesian ones, by name."""

from __future__ import annotations

from sparsectl.training.students.deterministic import DeterministicStudent
from sparsectl.training.students.group import GroupStudent
from sparsectl.training.students.variational import VariationalStudent

Student = VariationalStudent | GroupStudent | DeterministicStudent

STUDENTS: dict[str, type[Student]] = {
    "variational": VariationalStudent,
    "group": GroupStudent,
    "deterministic": DeterministicStudent,
}
"""Variational dropout on each weight, on each neuron, or not at all."""
