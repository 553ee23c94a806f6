"""The simulated rig: the plant's server, the virtual rig, wrong wirings."""
