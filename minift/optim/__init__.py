"""How the weights move: Adam written out, and the curves its learning rate follows."""

from minift.optim.adam import Adam, step_scale
from minift.optim.schedules import SCHEDULES, schedule

__all__ = ["SCHEDULES", "Adam", "schedule", "step_scale"]
