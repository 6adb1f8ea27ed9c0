"""The model contract as tests to inherit, for our architectures and those of other packages alike.

    from whichgoal.models.testing import ModelConformance

    class TestMine(ModelConformance):
        arch = "mine"

pytest then finds the tests in the class. It is run on small networks in double precision, with
parameters that are moved a little at random: zeros would hide what depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from whichgoal.models import checkpoint, sizes
from whichgoal.models.agent import Agent
from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Seen
from whichgoal.models.contract import Core, State
from whichgoal.models.policy import Policy
from whichgoal.models.registry import architecture_named
from whichgoal.models.sight import Board, Palette, View
from whichgoal.spec import ModelSpec, PPOSpec, TrainSpec, TrialSpec, WorldSpec, nest

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "whichgoal.models.testing needs pytest, which whichgoal itself does not: pip install pytest"
    ) from error

PALETTE: Palette = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
"""What can be seen: codes of MiniGrid without the agent."""
AGENT: Palette = [(10, 0, heading) for heading in range(4)]
SHAPE = (5, 5, 3)
ACTIONS = 3
Critic = Literal["shared", "separate", "fixed"]

_every_critic = pytest.mark.parametrize("critic", get_args(Critic))
_every_view = pytest.mark.parametrize("view", ["egocentric", "full"])


class ModelConformance:
    """What every architecture must do: inherit it, and name yours.

    Attributes:
        arch: The architecture's name.
        options: Options of the networks that are tested, if not the architecture's defaults.
        capacity: Of the networks that are tested.
        capacities: What must be met within 5 %, with every critic and view, in rising order.
    """

    arch: str
    options: ClassVar[Mapping[str, int]] = {}
    capacity = 8_000
    capacities = (5_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 5_000_000)

    @property
    def architecture(self) -> Architecture:
        """The record."""
        return architecture_named(self.arch)

    def model(
        self, critic: Critic = "shared", capacity: int | None = None, **options: int
    ) -> ModelSpec:
        """Returns the spec of a network that is tested."""
        return ModelSpec(
            arch=self.arch,
            capacity=capacity or self.capacity,
            critic=critic,
            **{**self.options, **options},
        )

    def agent(
        self,
        critic: Critic = "shared",
        view: View = "egocentric",
        palette: Palette | None = PALETTE,
    ) -> Agent:
        """Returns a network as it begins."""
        torch.manual_seed(0)
        given = palette if palette is None or view == "egocentric" else [*palette, *AGENT]
        return Agent(SHAPE, ACTIONS, given, self.model(critic), view)

    def moved(self, critic: Critic = "shared", view: View = "egocentric") -> Agent:
        """Returns a network in double precision, all of whose parameters are moved a little."""
        agent = self.agent(critic, view).double()
        with torch.no_grad():
            for part in agent.parameters():
                part.add_(torch.randn_like(part), alpha=0.05)
        return agent

    def test_its_record_names_a_core(self) -> None:
        """The class can be imported, and is one."""
        assert issubclass(self.architecture.core_class(), Core)

    def test_its_defaults_are_hyper_parameters_that_there_are(self) -> None:
        """Its options are whole numbers of at least 1, and its defaults are keys of sweep files."""
        assert all(isinstance(n, int) and n >= 1 for n in self.architecture.options.values())
        nested = nest(self.architecture.defaults)
        assert nested.keys() <= {"ppo", "train"}
        PPOSpec.model_validate(nested.get("ppo", {}))
        TrainSpec.model_validate(nested.get("train", {}))

    @_every_critic
    @_every_view
    def test_capacities_are_met_and_more_of_it_never_gives_a_smaller_network(
        self, critic: Critic, view: View
    ) -> None:
        """The solver comes within 5 % of each of `capacities`, and read-outs stay small."""
        seen = Seen(7, 7, len(PALETTE), view)
        found = [sizes.solve(self.model(critic, capacity=n), seen, 3) for n in self.capacities]
        for capacity, size in zip(self.capacities, found, strict=True):
            assert abs(size.capacity - capacity) <= sizes.TOLERANCE * capacity
            assert 0 <= size.readout_parameters <= sizes.MOST_READOUT * size.capacity
        for small, large in pairwise(found):
            assert large.parameters >= small.parameters
            assert large.features >= small.features

    @_every_critic
    @_every_view
    @pytest.mark.parametrize("palette", [PALETTE, None])
    def test_its_arithmetic_equals_what_torch_counts(
        self, critic: Critic, view: View, palette: Palette | None
    ) -> None:
        """Parameters, those of the core, outputs and state are as `cost` says."""
        agent = self.agent(critic, view, palette)
        _equals_its_arithmetic(agent)
        assert agent.size.flops > 0
        assert agent.size.depth > 0

    def test_its_arithmetic_knows_its_options(self) -> None:
        """Each option at its least, and at one more than usual."""
        dimensions = (8 * self.architecture.grain, 12)
        for name, usual in self.architecture.options.items():
            for value in (1, usual + 1):
                given = self.model("shared", None, **{name: value})
                _equals_its_arithmetic(Agent(SHAPE, ACTIONS, PALETTE, given, dimensions=dimensions))

    @_every_view
    def test_a_state_has_a_row_for_each_episode_and_keeps_its_form(self, view: View) -> None:
        """Initial and later states have the same names, shapes and floating point types."""
        agent = self.moved(view=view)
        state = agent.initial_state(3)
        obs, first = some_views(3, view=view), torch.tensor([True, False, True])
        later = [agent.step(obs, state, first)[2]]
        later.append(agent.unroll(obs[:, None], state, first[:, None])[2])
        for name, part in state.items():
            assert part.shape[0] == 3
            assert part.is_floating_point()
            assert all(after[name].shape == part.shape for after in later)
            assert all(after[name].dtype == part.dtype for after in later)
        assert all(after.keys() == state.keys() for after in later)

    @_every_critic
    @_every_view
    def test_stepping_equals_unrolling_with_episodes_beginning_anywhere(
        self, critic: Critic, view: View
    ) -> None:
        """Logits, values and the state after the last step are the same."""
        agent, obs = self.moved(critic, view), some_views(6, 23, view=view)
        is_first = _beginnings(6, 23)
        state = _a_state(agent, 6)
        logits, values, after = agent.unroll(obs, state, is_first)
        for t in range(23):
            one, value, state = agent.step(obs[:, t], state, is_first[:, t])
            torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)
            torch.testing.assert_close(value, values[:, t], atol=1e-9, rtol=0)
        _assert_same(state, after, atol=1e-9)

    @_every_critic
    @_every_view
    def test_an_episode_does_not_see_what_came_before_it(self, critic: Critic, view: View) -> None:
        """After its beginning all is as from `initial_state`."""
        agent, obs = self.moved(critic, view), some_views(2, 9, view=view)
        is_first = torch.zeros(2, 9, dtype=torch.bool)
        is_first[:, 4] = True
        logits, values, after = agent.unroll(obs, _a_state(agent, 2), is_first)
        fresh = agent.unroll(obs[:, 4:], agent.initial_state(2), is_first[:, 4:])
        torch.testing.assert_close(logits[:, 4:], fresh[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(values[:, 4:], fresh[1], atol=1e-12, rtol=0)
        _assert_same(after, fresh[2], atol=1e-12)

    @_every_critic
    @_every_view
    def test_no_gradient_flows_from_an_episode_into_the_one_before(
        self, critic: Critic, view: View
    ) -> None:
        """Not into the state that it began with."""
        agent, obs = self.moved(critic, view), some_views(2, 6, view=view)
        is_first = torch.zeros(2, 6, dtype=torch.bool)
        is_first[:, 3] = True
        state = {name: part.requires_grad_() for name, part in _a_state(agent, 2).items()}
        logits, values, _ = agent.unroll(obs, state, is_first)
        (logits[:, 3:].sum() + values[:, 3:].sum()).backward()
        assert all(part.grad is None or not part.grad.any() for part in state.values())

    @_every_critic
    @_every_view
    def test_rows_of_a_batch_do_not_see_each_other(self, critic: Critic, view: View) -> None:
        """Each row alone gives what it gives among others."""
        agent, obs = self.moved(critic, view), some_views(3, 8, view=view)
        is_first = _beginnings(3, 8)
        state = _a_state(agent, 3)
        logits, values, after = agent.unroll(obs, state, is_first)
        for row in range(3):
            one = slice(row, row + 1)
            own = {name: part[one] for name, part in state.items()}
            alone = agent.unroll(obs[one], own, is_first[one])
            torch.testing.assert_close(alone[0], logits[one], atol=1e-12, rtol=0)
            torch.testing.assert_close(alone[1], values[one], atol=1e-12, rtol=0)
            _assert_same(alone[2], {name: part[one] for name, part in after.items()}, atol=1e-12)

    @_every_critic
    @_every_view
    def test_every_parameter_gets_a_gradient(self, critic: Critic, view: View) -> None:
        """So `capacity` counts none that is not used."""
        agent, obs = self.moved(critic, view), some_views(64, 12, view=view)
        logits, values, _ = agent.unroll(obs, _a_state(agent, 64), _beginnings(64, 12, share=0.1))
        seed = torch.randn(logits.shape, generator=torch.manual_seed(2), dtype=torch.float64)
        ((logits * seed).sum() + (values * seed[..., 0]).sum()).backward()
        parts = agent.named_parameters()
        assert [name for name, p in parts if p.grad is None or not p.grad.any()] == []

    @_every_critic
    @_every_view
    def test_only_a_shared_critic_touches_the_actor(self, critic: Critic, view: View) -> None:
        """No gradient of the values reaches the core beside a critic of its own."""
        agent = self.moved(critic, view)
        never = torch.zeros(2, 3, dtype=torch.bool)
        _, values, _ = agent.unroll(some_views(2, 3, view=view), agent.initial_state(2), never)
        values.sum().backward()
        touched = [p for p in agent.core.parameters() if p.grad is not None and p.grad.any()]
        assert bool(touched) == (critic == "shared")

    def test_it_remembers_what_it_has_a_state_for(self) -> None:
        """The first view of an episode changes the last value if there is a state, else not."""
        agent, obs = self.moved(), some_views(1, 3)
        changed = obs.clone()
        changed[:, 0] = some_views(1, seed=7)
        state, never = agent.initial_state(1), torch.zeros(1, 3, dtype=torch.bool)
        one, other = (agent.unroll(x, state, never)[1][:, -1] for x in (obs, changed))
        assert ((one - other).abs().item() > 1e-9) == bool(state)

    def test_one_seed_gives_one_network_and_one_network_one_answer(self) -> None:
        """To the bit: nothing is drawn at random but the first weights."""
        obs, first = some_views(4, 5), _beginnings(4, 5)
        agents = [self.agent(), self.agent()]
        answers = [a.unroll(obs, a.initial_state(4), first)[0] for a in (*agents, agents[0])]
        assert all(torch.equal(answers[0], one) for one in answers)
        _assert_same(agents[0].state_dict(), agents[1].state_dict())

    def test_what_it_is_given_is_left_as_it_was(self) -> None:
        """State and observations: whoever gave them may use them again."""
        agent, obs, first = self.moved(), some_views(4, 5), _beginnings(4, 5)
        state = _a_state(agent, 4)
        kept = {name: part.clone() for name, part in state.items()}
        with torch.no_grad():
            agent.step(obs[:, 0], state, first[:, 0])
            agent.unroll(obs, state, first)
        _assert_same(state, kept)
        assert torch.equal(obs, some_views(4, 5))

    @_every_view
    def test_single_precision_is_close_to_double(self, view: View) -> None:
        """It is trained in single precision."""
        agent, obs, first = self.moved(view=view), some_views(4, 12, view=view), _beginnings(4, 12)
        double, _, _ = agent.unroll(obs, agent.initial_state(4), first)
        agent.float()
        single, _, _ = agent.unroll(obs, agent.initial_state(4), first)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)

    def test_the_first_policy_is_nearly_uniform(self) -> None:
        """So it tries every action, whatever it sees."""
        agent = self.agent()
        logits, _, _ = agent.step(some_views(64), agent.initial_state(64), torch.ones(64).bool())
        assert np.ptp(logits.detach().softmax(-1).numpy()) < 0.02

    def test_boards_of_other_sizes_are_played_if_the_record_says_so(self) -> None:
        """With `any_board`, stepping equals unrolling on them as well."""
        agent, board = self.moved(view="full"), (9, 8)
        assert agent.takes(SHAPE)
        assert agent.takes((*board, 3)) == self.architecture.any_board
        if not self.architecture.any_board:
            return
        obs, first = some_views(4, 6, board=board, view="full"), _beginnings(4, 6)
        logits, _, after = agent.unroll(obs, agent.initial_state(4, board), first)
        state = agent.initial_state(4, board)
        for t in range(6):
            one, _, state = agent.step(obs[:, t], state, first[:, t])
            torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)
        _assert_same(state, after, atol=1e-9)

    def test_vectors_are_seen_if_the_record_says_so(self) -> None:
        """With `vectors`, arithmetic and contract hold with them as well; else it refuses."""
        if not self.architecture.vectors:
            with pytest.raises(ValueError, match="works on a board"):
                Agent((4,), 2, None, self.model())
            return
        agent = Agent((4,), 2, None, self.model()).double()
        _equals_its_arithmetic(agent)
        x, first = torch.randn(3, 7, 4, generator=torch.manual_seed(0)), _beginnings(3, 7)
        logits, _, _ = agent.unroll(x, agent.initial_state(3), first)
        state = agent.initial_state(3)
        for t in range(7):
            one, _, state = agent.step(x[:, t], state, first[:, t])
            torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)

    @_every_view
    def test_a_checkpoint_plays_as_what_was_saved(self, view: View, tmp_path: Path) -> None:
        """It gives the same logits, to the bit."""
        agent = self.agent(view=view)
        spec = TrialSpec(world=WorldSpec(name="none"), model=self.model())
        palette = PALETTE if view == "egocentric" else [*PALETTE, *AGENT]
        path = checkpoint.save(tmp_path / "checkpoint", agent, spec, 512, palette)
        policies = Policy(agent), checkpoint.load(path).policy
        states = [policy.initial_state(5) for policy in policies]
        first = np.ones(5, bool)
        for seed in range(3):
            obs = some_views(5, seed=seed, view=view).numpy()
            played = [p.step(obs, own, first) for p, own in zip(policies, states, strict=True)]
            np.testing.assert_array_equal(played[0][0], played[1][0])
            states = [state for _, state in played]
            first = np.array([False, False, True, False, True])


def some_views(
    *lead: int, seed: int = 0, board: Board = SHAPE[:2], view: View = "egocentric"
) -> Tensor:
    """Returns random views `uint8 [..., columns, rows, 3]`; on a full board there is one agent."""
    made = torch.manual_seed(seed)
    codes = torch.tensor([*PALETTE, *AGENT], dtype=torch.uint8)
    chosen = torch.randint(0, len(PALETTE), (*lead, *board), generator=made)
    if view == "full":
        where = torch.randint(0, board[0] * board[1], (*lead, 1), generator=made)
        heading = torch.randint(len(PALETTE), len(codes), (*lead, 1), generator=made)
        chosen = chosen.flatten(-2).scatter(-1, where, heading).view(*lead, *board)
    return codes[chosen]


def _beginnings(n: int, steps: int, share: float = 0.2) -> Tensor:
    """Returns where episodes begin, `bool [n, steps]`."""
    return torch.rand(n, steps, generator=torch.manual_seed(1)) < share


def _a_state(agent: Agent, n: int) -> State:
    """Returns a state that an agent can be in."""
    views = some_views(n, 50, seed=9, view=agent.sight.view)
    first = torch.rand(n, 50, generator=torch.manual_seed(8)) < 0.05
    with torch.no_grad():
        return agent.unroll(views, agent.initial_state(n), first)[2]


def _equals_its_arithmetic(agent: Agent) -> None:
    def count(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert agent.size.parameters == count(agent)
    core = agent.size.trunk_parameters + agent.size.readout_parameters
    assert core == count(agent.core)
    assert agent.size.state_size == sum(p.numel() for p in agent.initial_state(1).values())


def _assert_same(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], atol: float = 0
) -> None:
    assert given.keys() == expected.keys()
    for name, part in expected.items():
        torch.testing.assert_close(given[name], part, atol=atol, rtol=0)
