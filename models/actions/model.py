# SPDX-License-Identifier: Apache-2.0
"""A small Llama: RMSNorm, rotary positions on interleaved pairs, grouped-query attention, SwiGLU, tied embeddings."""
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocab: int = 1024
    width: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 512
    context: int = 512
    theta: float = 10000.0
    eps: float = 1e-5

    def as_dict(self):
        return asdict(self)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.kv_heads, self.head = s.heads, s.kv_heads, s.width // s.heads
        kv = self.kv_heads * self.head
        self.attn_norm, self.ffn_norm = nn.RMSNorm(s.width, s.eps), nn.RMSNorm(s.width, s.eps)
        self.q, self.k, self.v = (nn.Linear(s.width, n, bias=False) for n in (s.width, kv, kv))
        self.o = nn.Linear(s.width, s.width, bias=False)
        self.gate, self.up = nn.Linear(s.width, s.ffn, bias=False), nn.Linear(s.width, s.ffn, bias=False)
        self.down = nn.Linear(s.ffn, s.width, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        h = self.attn_norm(x)
        q = rotate(self.q(h).view(b, t, self.heads, self.head), cos, sin)
        k = rotate(self.k(h).view(b, t, self.kv_heads, self.head), cos, sin)
        v = self.v(h).view(b, t, self.kv_heads, self.head)
        a = attend(q, k, v)
        x = x + self.o(a)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def attend(q, k, v):
    """Causal attention written out: on short rows faster on a CPU than the fused operator's backward pass."""
    b, t, heads, head = q.shape
    group = heads // k.shape[2]
    k, v = (y.transpose(1, 2).repeat_interleave(group, 1).reshape(b * heads, t, head) for y in (k, v))
    q = q.transpose(1, 2).reshape(b * heads, t, head) * head ** -0.5
    mask = torch.full((t, t), float("-inf"), dtype=q.dtype).triu(1)
    scores = torch.bmm(q, k.mT) + mask
    weights = scores.float().softmax(-1).type_as(v)
    return torch.bmm(weights, v).view(b, heads, t, head).transpose(1, 2).reshape(b, t, heads * head)


def rotate(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).type_as(x)


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.eps)
        head = shape.width // shape.heads
        angles = torch.outer(torch.arange(shape.context).float(), shape.theta ** -(torch.arange(0, head, 2).float() / head))
        self.register_buffer("cos", angles.cos()[:, None, :], persistent=False)
        self.register_buffer("sin", angles.sin()[:, None, :], persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                last = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 if "embed" in name else p.shape[1] ** -0.5 * (0.3 if last else 1.0))

    def hidden(self, tokens):
        t = tokens.shape[1]
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return self.norm(x)

    def forward(self, tokens):
        return F.linear(self.hidden(tokens), self.embed.weight)
