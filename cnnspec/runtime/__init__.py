"""Running exported networks, without torch.

Nothing is imported here: the command line asks `session` for names of devices on machines without numpy.
"""
