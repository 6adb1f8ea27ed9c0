"""The gated transformer-XL (Parisotto et al. 2019, "Stabilizing Transformers for RL").

Each layer remembers its own last M inputs of the episode, and no gradient flows into them. They are
kept normalized; the normalization's gain and bias are folded into the weights that read them. So
what is kept does not go stale as these are trained, and training sees them as the paper does.

`step` makes no keys and values of the memory: each query is taken back through the weights of the
keys and of the distances, and the mean of the memory forward through those of the values. `unroll`
takes the whole sequence at once; attention is then a band of M + 1 distances, cut short where an
episode begins.

Shape suffixes: B batch of sequences or environments, T time, N = B * T, L layers, M memory, K keys
(M + T, the memory first), E distances (M + 1, the farthest first), D features, H heads, C features
of a head, G = B * H, W hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from whichgoal.models.contract import Core, State
from whichgoal.models.encoder import encoder_for
from whichgoal.models.gtrxl import HEADS
from whichgoal.models.gtrxl.gate import Gate
from whichgoal.models.kernels import band_softmax, band_softmax_backward
from whichgoal.models.sight import Board, Sight
from whichgoal.spec import ModelSpec


class GTrXL(Core):
    """An encoder of `features` units and `model.layers` gated layers of as many.

    `width` is the hidden units of each layer's perceptron. A layer attends, with 4 heads, to its
    last `model.memory` inputs of the episode and the present one. Layers lie on each other, so a
    network of n of them looks back n times as far.

    Raises:
        ValueError: `features` is not a multiple of 4.
    """

    distance_E: Tensor
    phi_ED: Tensor

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        if features % HEADS:
            raise ValueError(f"features {features}; allowed: multiples of {HEADS}, the heads")
        assert model.layers is not None
        assert model.memory is not None
        self.out_features = features
        self.memory = model.memory
        self.encoder = encoder_for(sight, features)
        self.layers = nn.ModuleList(_Layer(features, width) for _ in range(model.layers))
        # The sinusoids of Dai et al. 2019 ("Transformer-XL"), R of section 3.3.
        distance_E = torch.arange(self.memory, -1, -1, dtype=torch.float64)
        frequency = 10_000.0 ** -(torch.arange(0, features, 2, dtype=torch.float64) / features)
        angle = distance_E[:, None] * frequency
        phi_ED = torch.cat([angle.sin(), angle.cos()], dim=1)
        kind = torch.get_default_dtype()
        self.register_buffer("distance_E", distance_E.to(kind), persistent=False)
        self.register_buffer("phi_ED", phi_ED.to(kind), persistent=False)

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns zeros: each layer's inputs, `memory` `[n, L, M, D]`, the latest last; how many of
        them are of this episode, `age` `[n]`.
        """
        shape = (n, len(self.layers), self.memory, self.out_features)
        return {"memory": self.phi_ED.new_zeros(shape), "age": self.phi_ED.new_zeros(n)}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the last layer `[B, D]` and the next state."""
        memory_BLMD = state["memory"].detach()
        age_B = state["age"].masked_fill(is_first_B, 0)
        beyond_B1E = (self.distance_E > age_B.clamp(min=0)[:, None])[:, None]
        inputs = []
        for layer, memory_BMD in self._layers_of(memory_BLMD):
            x, n_BD = layer.step(x, memory_BMD, beyond_B1E, self.phi_ED)
            inputs.append(n_BD.detach())
        latest_BL1D = torch.stack(inputs, dim=1)[:, :, None]
        memory_BLMD = torch.cat([memory_BLMD[:, :, 1:], latest_BL1D], dim=2)
        memory_BLMD[is_first_B.nonzero()[:, 0], :, :-1] = 0
        return x, {"memory": memory_BLMD, "age": (age_B + 1).clamp(max=self.memory)}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the last layer at every step `[B, T, D]` and the state after the last."""
        m, steps = self.memory, is_first_BT.shape[1]
        memory_BLMD = state["memory"].detach()
        t = torch.arange(steps, device=x.device)
        # Where the episode of each step began; what began before the sequence began at -M.
        start_BT = torch.where(is_first_BT, t, -m).cummax(dim=1).values
        age_BT = torch.where(start_BT < 0, state["age"][:, None] + t, t - start_BT)
        reach_BT = age_BT.clamp(0, m).int() + 1
        inputs = []
        for layer, memory_BMD in self._layers_of(memory_BLMD):
            x, n_BTD = layer.unroll(x, memory_BMD, reach_BT, self.phi_ED)
            inputs.append(n_BTD.detach()[:, -m:])
        latest = torch.stack(inputs, dim=1)
        if steps < m:
            latest = torch.cat([memory_BLMD[:, :, steps:], latest], dim=2)
        kept_BM = steps - self.distance_E[:-1] >= start_BT[:, -1:]
        latest *= kept_BM[:, None, :, None]
        return x, {"memory": latest, "age": (age_BT[:, -1] + 1).clamp(max=m)}

    def _layers_of(self, memory_BLMD: Tensor) -> Iterator[tuple[_Layer, Tensor]]:
        """Returns each layer with its memory `[B, M, D]`."""
        return zip(cast("Iterable[_Layer]", self.layers), memory_BLMD.unbind(1), strict=True)


class _Layer(nn.Module):
    """One layer of figure 1 (right): attention, gate, perceptron, gate.

    Identity map reordering ("TrXL-I", section 3.1): what is normalized is the input of each
    sub-module, never the stream; and a ReLU follows each sub-module.
    """

    ones: Tensor
    zeros: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        d = features
        self.gain = nn.Parameter(torch.ones(d))
        self.shift = nn.Parameter(torch.zeros(d))
        self.query_key_value = nn.Parameter(torch.empty(3 * d, d))
        self.relative = nn.Parameter(torch.empty(d, d))
        self.content_bias = nn.Parameter(torch.zeros(d))
        self.position_bias = nn.Parameter(torch.zeros(d))
        self.out = nn.Parameter(torch.empty(d, d))
        self.attention_gate = Gate(d)
        self.norm = nn.LayerNorm(d)
        self.hidden = nn.Linear(d, width)
        self.output = nn.Linear(width, d)
        self.mlp_gate = Gate(d)
        for part in (*self.query_key_value.data.chunk(3), self.relative):
            nn.init.orthogonal_(part)
        for part in (self.out, self.hidden.weight, self.output.weight):
            nn.init.orthogonal_(part, math.sqrt(2))
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.output.bias)
        # Twice as fast on a CPU as to give `layer_norm` neither.
        self.register_buffer("ones", torch.ones(d), persistent=False)
        self.register_buffer("zeros", torch.zeros(d), persistent=False)

    def step(
        self, x_BD: Tensor, memory_BMD: Tensor, beyond_B1E: Tensor, phi_ED: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the output and the normalized input, both `[B, D]`.

        Args:
            x_BD: The input.
            memory_BMD: Normalized inputs of the past, the latest last.
            beyond_B1E: Which distances reach back beyond the beginning of the episode.
            phi_ED: The encoding of each distance.
        """
        b, d = x_BD.shape
        n_BD = self._normalize(x_BD)
        weight_JD, u, v, output_bias = self._fold()
        q_w, k_w, v_w = (part.view(HEADS, -1, d) for part in weight_JD.chunk(3))
        q_HBC = torch.bmm(n_BD.expand(HEADS, b, d), q_w.transpose(1, 2))
        content_BHD = torch.bmm(q_HBC + u.view(HEADS, 1, -1), k_w).transpose(0, 1)
        position_HBD = torch.bmm(q_HBC + v.view(HEADS, 1, -1), self.relative.view(HEADS, -1, d))
        position_HBE = (position_HBD.view(-1, d) @ phi_ED.t()).view(HEADS, b, -1)
        past_BHM = torch.bmm(content_BHD, memory_BMD.transpose(1, 2))
        present_BH1 = (content_BHD * n_BD[:, None]).sum(dim=2, keepdim=True)
        score_BHE = torch.cat([past_BHM, present_BH1], dim=2) + position_HBE.transpose(0, 1)
        score_BHE = (score_BHE * self._scale(d)).masked_fill_(beyond_B1E, -torch.inf)
        w_BHE = score_BHE.softmax(dim=2)
        present_BHD = w_BHE[..., -1:] * n_BD[:, None]
        mean_BHD = torch.baddbmm(present_BHD, w_BHE[..., :-1], memory_BMD)
        o_HBC = torch.bmm(mean_BHD.transpose(0, 1), v_w.transpose(1, 2))
        o_BD = o_HBC.transpose(0, 1).reshape(b, d)
        return self._after_attention(x_BD, o_BD, output_bias), n_BD

    def unroll(
        self, x_BTD: Tensor, memory_BMD: Tensor, reach_BT: Tensor, phi_ED: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the output and the normalized input, both `[B, T, D]`.

        Args:
            x_BTD: The input.
            memory_BMD: Normalized inputs of the past, the latest last.
            reach_BT: `int32`, how many distances a step reaches, the present's 0 included.
            phi_ED: The encoding of each distance.
        """
        b, t, d = x_BTD.shape
        x_ND = x_BTD.reshape(b * t, d)
        n_ND = self._normalize(x_ND)
        weight_JD, u, v, output_bias = self._fold()
        qkv_NJ = F.linear(n_ND, weight_JD)
        past_BMJ = F.linear(memory_BMD, weight_JD[d:])
        r_ED = F.linear(phi_ED, self.relative)
        o_ND: Tensor = _Attend.apply(qkv_NJ, past_BMJ, r_ED, u, v, reach_BT, self._scale(d))
        y_ND = self._after_attention(x_ND, o_ND, output_bias)
        return y_ND.view(b, t, d), n_ND.view(b, t, d)

    def _scale(self, features: int) -> float:
        return (features // HEADS) ** -0.5

    def _normalize(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.ones.shape, self.ones, self.zeros)

    def _fold(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the weights of queries, keys, values for inputs without gain and bias, the biases
        u and v of the queries, and the bias that follows attention.

        What a bias adds to all keys alike, softmax takes away.
        """
        q_shift, _, v_shift = (self.query_key_value @ self.shift).chunk(3)
        u, v = self.content_bias + q_shift, self.position_bias + q_shift
        return self.query_key_value * self.gain, u, v, self.out @ v_shift

    def _after_attention(self, x_ND: Tensor, o_ND: Tensor, output_bias: Tensor) -> Tensor:
        y_ND = F.relu_(F.linear(o_ND, self.out, output_bias))
        x_ND = self.attention_gate(x_ND, y_ND)
        # Gain and bias are folded here too: no passes over the batch, forward or backward.
        weight_WD = self.hidden.weight * self.norm.weight
        bias_W = torch.addmv(self.hidden.bias, self.hidden.weight, self.norm.bias)
        h_NW = F.relu_(F.linear(self._normalize(x_ND), weight_WD, bias_W))
        gated: Tensor = self.mlp_gate(x_ND, F.relu_(self.output(h_NW)))
        return gated


class _Attend(torch.autograd.Function):
    """Relative attention within a band (Dai et al. 2019, section 3.3, and appendix B).

    A_ij = (q_i + u) k_j + (q_i + v) r_(i - j) for the distances that step i reaches.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv_NJ: Tensor,
        past_BMJ: Tensor,
        r_ED: Tensor,
        u_D: Tensor,
        v_D: Tensor,
        reach_BT: Tensor,
        scale: float,
    ) -> Tensor:
        (b, t), (e, d) = reach_BT.shape, r_ED.shape
        g, m, c = b * HEADS, e - 1, d // HEADS
        qkv_BT3HC = qkv_NJ.view(b, t, 3, HEADS, c)
        q_BHTC, kv_2BHKC = qkv_NJ.new_empty(b, HEADS, t, c), qkv_NJ.new_empty(2, b, HEADS, m + t, c)
        u_HTC, v_HTC = u_D.view(HEADS, 1, c), v_D.view(HEADS, 1, c)
        torch.add(qkv_BT3HC[:, :, 0].transpose(1, 2), u_HTC, out=q_BHTC)
        kv_2BHKC[..., :m, :] = past_BMJ.view(b, m, 2, HEADS, c).permute(2, 0, 3, 1, 4)
        kv_2BHKC[..., m:, :] = qkv_BT3HC[:, :, 1:].permute(2, 0, 3, 1, 4)
        q_GTC, (k_GKC, v_GKC) = q_BHTC.view(g, t, c), kv_2BHKC.view(2, g, m + t, c)
        qv_GTC = (q_BHTC + (v_HTC - u_HTC)).view(g, t, c)
        r_GEC = r_ED.view(e, HEADS, c).transpose(0, 1).repeat(b, 1, 1)
        position_GTE = torch.bmm(qv_GTC, r_GEC.transpose(1, 2))
        w_GTK = torch.bmm(q_GTC, k_GKC.transpose(1, 2))
        softmax = band_softmax if w_GTK.device.type == "cpu" else softmax_plain
        softmax(w_GTK, position_GTE, reach_BT, scale)
        ctx.save_for_backward(q_GTC, kv_2BHKC, qv_GTC, r_GEC, w_GTK)
        ctx.scale = scale
        o_BHTC = torch.bmm(w_GTK, v_GKC).view(b, HEADS, t, c)
        return o_BHTC.transpose(1, 2).reshape(b * t, d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        q_GTC, kv_2BHKC, qv_GTC, r_GEC, w_GTK = ctx.saved_tensors
        (_, b, _, k, c), (g, t, _), (n, d) = kv_2BHKC.shape, w_GTK.shape, grad_ND.shape
        k_GKC, v_GKC = kv_2BHKC.view(2, g, k, c)
        grad_GTC = grad_ND.view(b, t, HEADS, c).transpose(1, 2).reshape(g, t, c)
        d_kv = torch.empty_like(kv_2BHKC)
        d_k, d_v = d_kv.view(2, g, k, c)
        torch.bmm(w_GTK.transpose(1, 2), grad_GTC, out=d_v)
        d_score = torch.bmm(grad_GTC, v_GKC.transpose(1, 2))
        d_position = w_GTK.new_empty(g, t, k - t + 1)
        compiled = d_score.device.type == "cpu"
        softmax_backward = band_softmax_backward if compiled else softmax_backward_plain
        softmax_backward(w_GTK, d_score, d_position, ctx.scale)
        torch.bmm(d_score.transpose(1, 2), q_GTC, out=d_k)
        d_r = torch.bmm(d_position.transpose(1, 2), qv_GTC).view(b, HEADS, -1, c).sum(dim=0)
        d_q = torch.bmm(d_score, k_GKC)
        d_u = _over_steps(d_q)
        d_q.baddbmm_(d_position, r_GEC)
        d_qkv = grad_ND.new_empty(b, t, 3, HEADS, c)
        d_qkv[:, :, 0] = d_q.view(b, HEADS, t, c).transpose(1, 2)
        d_kv_BK2HC = d_kv.permute(1, 3, 0, 2, 4)
        d_qkv[:, :, 1:] = d_kv_BK2HC[:, -t:]
        d_past = d_kv_BK2HC[:, :-t].reshape(b, k - t, 2 * d)
        d_r = d_r.transpose(0, 1).reshape(-1, d)
        return d_qkv.view(n, 3 * d), d_past, d_r, d_u, _over_steps(d_q) - d_u, None, None


def _over_steps(x_GTC: Tensor) -> Tensor:
    """Returns the sum over steps and batch, `[D]`."""
    return x_GTC.sum(dim=1).view(-1, HEADS * x_GTC.shape[2]).sum(dim=0)


def softmax_plain(score_GTK: Tensor, position_GTE: Tensor, reach_BT: Tensor, scale: float) -> None:
    """Makes attention weights of scores, in place.

    Args:
        score_GTK: The content's; gets the weights, which are zero outside of the band.
        position_GTE: The position's; lost.
        reach_BT: How many distances a step reaches.
        scale: Of the scores.
    """
    e = position_GTE.shape[-1]
    band_GTE = _band(score_GTK, e)
    reach_GT = reach_BT.repeat_interleave(HEADS, dim=0)
    beyond_GTE = torch.arange(e, 0, -1, device=reach_BT.device) > reach_GT[..., None]
    score_GTE = ((band_GTE + position_GTE) * scale).masked_fill_(beyond_GTE, -torch.inf)
    score_GTK.zero_()
    band_GTE.copy_(score_GTE.softmax(dim=-1))


def softmax_backward_plain(
    w_GTK: Tensor, grad_GTK: Tensor, d_position_GTE: Tensor, scale: float
) -> None:
    """Makes gradients of the scores from those of the weights, in place; writes the position's."""
    w_GTE, grad_GTE = (_band(x, d_position_GTE.shape[-1]) for x in (w_GTK, grad_GTK))
    mean_GT1 = (w_GTE * grad_GTE).sum(dim=-1, keepdim=True)
    torch.mul(w_GTE * (grad_GTE - mean_GT1), scale, out=d_position_GTE)
    grad_GTK.zero_()
    grad_GTE.copy_(d_position_GTE)


def _band(x_GTK: Tensor, distances: int) -> Tensor:
    """Returns the view `[G, T, E]` whose row t begins at column t: Transformer-XL's shift."""
    g, t, k = x_GTK.shape
    return x_GTK.as_strided((g, t, distances), (t * k, k + 1, 1))
