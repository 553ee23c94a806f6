"""Identification: the parameters of a rig, with intervals, from one journal."""
