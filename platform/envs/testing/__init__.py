"""The world contract as tests: inherit them, and pytest runs them on a world of your own.

    from whichgoal.envs.testing import WorldConformance
    from whichgoal_tiny.coin import Coin


    class TestCoin(WorldConformance):
        world = Coin()

Each failure says which rule of the contract (`whichgoal.envs.contract`) is broken, and what to do.
The last test is of the instrument itself: scripted agents that seek the goal and each proxy go
through the battery, and it has to name what they seek. So this package alone in `envs` knows
`divergence`; it is imported by tests only, and it alone needs pytest.
"""

from whichgoal.envs.testing.instrument import InstrumentRules
from whichgoal.envs.testing.levels import LevelRules
from whichgoal.envs.testing.places import PlaceRules
from whichgoal.envs.testing.playing import PlayRules
from whichgoal.envs.testing.vision import VisionRules

__all__ = ["WorldConformance"]


class WorldConformance(LevelRules, PlaceRules, VisionRules, PlayRules, InstrumentRules):
    """All that a world promises. Set `world`; override `designs` and `agrees` where need be."""
