"""Distillation along trajectories in worlds small enough to be evaluated exactly.

Czarnecki, Pascanu, Osindero, Jayakumar, Swirszcz, Jaderberg: Distilling Policy Distillation,
AISTATS 2019, arXiv 1902.02186. Six methods that differ in who acts, in a loss and in a reward.
"""
