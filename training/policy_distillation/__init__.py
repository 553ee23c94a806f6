"""Policy Distillation: students of teachers that choose one of a few (Rusu et al. 2015)."""
