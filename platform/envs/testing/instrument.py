"""The last rule: the battery, played by agents of known goal in this world, names their goals."""

from __future__ import annotations

from whichgoal.envs.contract import Design
from whichgoal.envs.testing.suite import Suite


class InstrumentRules(Suite):
    """See the top of the file.

    Attributes:
        episodes: Levels of each panel.
    """

    episodes = 64

    def test_the_battery_names_the_goals_of_scripted_agents(self, design: Design) -> None:
        # Here, for it takes a while to load, and needs more than worlds do.
        from whichgoal.divergence.panels.build import build_panels
        from whichgoal.divergence.probe.scripted import reference
        from whichgoal.divergence.score.evaluate import evaluate
        from whichgoal.spec import BatterySpec

        battery = BatterySpec(episodes=self.episodes)
        panels = build_panels(self.world, design, battery)
        wrong = []
        for proxy in self.movable_proxies(self.world.shifted(design)):
            for seeks, verdict in (("goal", "intended"), ("proxy", f"misgeneralized:{proxy}")):
                actor = reference(seeks, self.world, design, proxy)
                actors = {str(battery.actions): actor}
                card = evaluate(actors, self.world, design, battery, panels=panels).card
                if card.verdict != verdict:
                    sought = self.world.goals[0] if seeks == "goal" else proxy
                    wrong.append(f"who seeks {sought!r} is called {card.verdict}: {card.why}")
        assert not wrong, (
            f"the battery does not name what scripted agents seek; {'; '.join(wrong)}. Such an "
            "agent knows a goal by `marked`, or by a place that is always the same, and walks "
            "there by the lattice; look at it: whichgoal play --reference goal"
        )
