"""Bayesian Policy Distillation: the loss, its fitted critics, KL schedules and control."""
