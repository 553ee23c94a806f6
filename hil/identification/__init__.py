"""Identification: the numbers of one's own rig, with intervals, from one journal."""
