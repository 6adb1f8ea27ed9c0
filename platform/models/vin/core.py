"""The value iteration network (Tamar et al. 2016): it plans on the board over a learned reward map.

On a CPU two things are compiled: finding the different 3x3 patches of a batch, and the iterations.

Shape suffixes: B batch, T time, X columns, Y rows, P planes, F features, Q channels of q, D
outputs, U different 3x3 patches, V different 5x5 patches, 9 or 33 a 3x3 kernel.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.models.contract import Core, State
from whichgoal.models.kernels import patches, q_at
from whichgoal.models.sight import Sight
from whichgoal.models.vin import CHANNELS
from whichgoal.spec import ModelSpec

MOVES = ((2, 1), (1, 2), (0, 1), (1, 0))
"""Where a 3x3 kernel has the cells to the right, below, to the left and above."""
FIRST_DISCOUNT = 0.9
FIRST_REWARD = 0.1
"""Of r's weights, times the root of their number, the standard deviation as it begins.

At 0.8 one seed of three solved 0.9 of the mazes from 3.4 M env steps on and not 0.95 by 5.9 M; at
0.1 the same one 0.99 after 0.7 M. Probably it is what all r have in common: ticks sum it up.
"""
KERNEL_UNIT = 0.1
"""What 1 in a parameter of the iterated kernels means."""


class VIN(Core):
    """Value iteration as a network, read out at the agent's cell; it plans anew in every step.

    h = relu(conv3x3(relu(conv3x3(planes)))), of `features` channels each; r = conv1x1(h), the
    reward map; then `ticks` times q = conv3x3([r; v]), v = max over q's channels (Tamar et al.
    2016, section 3.1; v = 0 at first, r = v = 0 outside the board). In their code h is one
    convolution without a nonlinearity, which makes r one 3x3 convolution of the planes; with ReLUs,
    r can tell patches apart by what they have together. Iteration has few weights by its nature:
    the second layer is where a capacity goes, rather than into the read-out.

    Actions turn and go forward, so which is best depends on q and on the heading, which is one of
    the planes around the agent: a hidden layer of `width` units takes q and h at the agent's cell.

    As it begins, q's channels are the discounted moves to the four neighbors and r is small noise,
    so that values travel from the first update on. The kernels are used `ticks` times over, and an
    optimizer such as Adam moves each of their weights as far as any other: that destroys the moves
    before there are rewards to plan for. Hence they are kept in units of `KERNEL_UNIT`, and are
    moved by that much less.
    """

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        assert model.ticks is not None
        self.ticks, self.out_features = model.ticks, width
        self.weight = nn.Parameter(torch.empty(9, sight.num_planes, features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.is_deep = model.sizing != 1
        if self.is_deep:
            self.weight_2 = nn.Parameter(torch.empty(9, features, features))
            self.bias_2 = nn.Parameter(torch.zeros(features))
            nn.init.orthogonal_(self.weight_2.data.view(-1, features), math.sqrt(2))
        self.reward = nn.Parameter(torch.empty(features))
        self.kernel_r = nn.Parameter(_moves(1.0) / KERNEL_UNIT)
        self.kernel_v = nn.Parameter(_moves(FIRST_DISCOUNT) / KERNEL_UNIT)
        self.hidden = nn.Linear(CHANNELS + features, width)
        nn.init.orthogonal_(self.weight.data.view(-1, features), math.sqrt(2))
        nn.init.normal_(self.reward, std=FIRST_REWARD / math.sqrt(features))
        nn.init.orthogonal_(self.hidden.weight, math.sqrt(2))
        nn.init.zeros_(self.hidden.bias)
        # h is positive, so the mean would be a reward of every cell, which iteration sums up.
        self.reward.data -= self.reward.data.mean()

    def encode(self, seen: Tensor) -> Tensor:
        """Returns the codes `int32 [..., X, Y]` as they are: the compiled path is made for them."""
        return seen

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, D]`; `is_first_B` does not matter."""
        if x.device.type != "cpu":
            return self.plain_step(x, state, is_first_B)
        return self._hidden(*self._by_patches(x)), {}

    def plain_step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """The same as `step` in plain torch: what the compiled parts are tested against."""
        h_BFXY, r_BXY = self._board(x)
        q_BQXY = plan(r_BXY, *self._kernels(), self.ticks)
        at_B = self.sight.agent_cell(x)
        q_BQ, h_BF = (y.flatten(2)[torch.arange(len(y)), :, at_B] for y in (q_BQXY, h_BFXY))
        return self._hidden(q_BQ, h_BF), {}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, T, D]`; `is_first_BT` does not matter."""
        y, _ = self.step(x.flatten(0, 1), state, is_first_BT.flatten())
        return y.view(*x.shape[:2], -1), {}

    @torch.no_grad()
    def reward_map(self, codes_BXY: Tensor) -> Tensor:
        """Returns the learned rewards r `[B, X, Y]`."""
        return self._board(codes_BXY)[1]

    @torch.no_grad()
    def value_map(self, codes_BXY: Tensor) -> Tensor:
        """Returns the values v `[B, X, Y]` after `ticks` ticks."""
        return plan(self.reward_map(codes_BXY), *self._kernels(), self.ticks).amax(1)

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """Returns the kernels of r and of v, `[Q, 3, 3]` each."""
        return self.kernel_r * KERNEL_UNIT, self.kernel_v * KERNEL_UNIT

    def _hidden(self, q_BQ: Tensor, h_BF: Tensor) -> Tensor:
        return F.relu(self.hidden(torch.cat((q_BQ, h_BF), dim=1)))

    def _board(self, codes_BXY: Tensor) -> tuple[Tensor, Tensor]:
        """Returns h `[B, F, X, Y]` and r `[B, X, Y]`."""
        planes_BPXY = F.embedding(codes_BXY, self.sight.planes).permute(0, 3, 1, 2)
        h_BFXY = F.relu(F.conv2d(planes_BPXY, _kernel(self.weight), self.bias, padding=1))
        if self.is_deep:
            h_BFXY = F.relu(F.conv2d(h_BFXY, _kernel(self.weight_2), self.bias_2, padding=1))
        return h_BFXY, F.conv2d(h_BFXY, self.reward[None, :, None, None]).squeeze(1)

    def _by_patches(self, codes_BXY: Tensor) -> tuple[Tensor, Tensor]:
        """Returns q `[B, Q]` and h `[B, F]` at the agents' cells; h and r once for every patch.

        They depend on nothing but the cells around, and a batch of boards has few different
        patches: of 124 thousand in 1,024 mazes of 11x11 cells, 2 thousand of 3x3 and 26 thousand of
        5x5. A patch of 5x5 cells is one of 3x3 patches.
        """
        outside = len(self.sight.planes) - 1  # the last code lights no plane, as zero padding does
        found_U9, ids_BXY = patches(codes_BXY, outside)
        x_UP = F.embedding(found_U9, self.sight.planes).flatten(1)
        h_UF = F.relu(torch.addmm(self.bias, x_UP, self.weight.flatten(0, 1)))
        if self.is_deep:
            found_V9, ids_BXY = patches(ids_BXY, len(h_UF))
            h_UF = F.relu(self._second(found_V9, h_UF))
        r_BXY = (h_UF @ self.reward).index_select(0, ids_BXY.flatten()).view(codes_BXY.shape)
        at_B = self.sight.agent_cell(codes_BXY)
        q_BQ = q_at(r_BXY, *self._kernels(), at_B, self.ticks)
        patch_B = ids_BXY.flatten(1).gather(1, at_B[:, None]).squeeze(1)
        return q_BQ, h_UF.index_select(0, patch_B)

    def _second(self, found_V9: Tensor, h_UF: Tensor) -> Tensor:
        """Returns the second convolution at each 5x5 patch, `[V, F]`, of the 3x3 patches in it.

        Each 3x3 patch is multiplied once for each place in a kernel; the rest are sums.
        """
        h_UF = F.pad(h_UF, (0, 0, 0, 1))  # outside a board is zero
        places = zip(found_V9.t().contiguous(), self.weight_2, strict=True)
        sums = (F.embedding(ids_V, h_UF @ weight_FF) for ids_V, weight_FF in places)
        return sum(sums, self.bias_2)


def _kernel(weight_9CF: Tensor) -> Tensor:
    """Returns the kernel `[F, C, 3, 3]` of a convolution."""
    return weight_9CF.permute(2, 1, 0).unflatten(2, (3, 3))


def plan(r_BXY: Tensor, kernel_r_Q33: Tensor, kernel_v_Q33: Tensor, ticks: int) -> Tensor:
    """Returns q `[B, Q, X, Y]` after `ticks` ticks of value iteration.

    One tick is q = conv([r; v]), v = max over its channels: value iteration (Tamar et al. 2016,
    equation 1) with kernels for discounted transitions (section 3.1). The convolution of r does not
    change over ticks and is hoisted; that of the first v, which is zero, is left out.
    """
    of_r_BQXY = F.conv2d(r_BXY[:, None], kernel_r_Q33[:, None], padding=1)
    q_BQXY = of_r_BQXY
    for _ in range(ticks - 1):
        v_B1XY = q_BQXY.max(dim=1, keepdim=True).values
        q_BQXY = of_r_BQXY + F.conv2d(v_B1XY, kernel_v_Q33[:, None], padding=1)
    return q_BQXY


def _moves(size: float) -> Tensor:
    """Returns a kernel `[Q, 3, 3]` per move, with a little noise lest two channels ever tie."""
    kernel_Q33 = 0.02 * torch.randn(CHANNELS, 3, 3)
    for channel, cell in enumerate(MOVES):
        kernel_Q33[channel][cell] += size
    return kernel_Q33
