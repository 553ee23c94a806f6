"""The rig that is simulated: the plant's server, a virtual rig, miswirings."""
