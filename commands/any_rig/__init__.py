"""Policies for any rig, which come with sparsectl, written for one rig."""
