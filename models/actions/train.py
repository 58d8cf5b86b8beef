#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train the model from scratch on requests made on the fly; stop and start again at any time.

    python3 train.py --work DIR [--threads 2]

DIR receives vocab.json, last.pt (weights, optimiser, place in the data) and the log. Loss is taken on the call only.
The matrices are updated by Muon (orthogonalised momentum), embeddings and norms by AdamW.
"""
import argparse
import math
import os
import random
import shutil
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from generate import Generator, call_line
from model import Llama, Shape
from tokenizer import EOS, Tokenizer

SEED = 7
CHUNK = 6144           # examples drawn and sorted by length at a time
IGNORE = -100
SCHEDULE_END = 146
# (first chunk, where its schedule begins, where it ends, highest rate, tokens a batch)
PHASES = ((0, 0, 80, 0.012, 2048), (32, 0, 76, 0.006, 3072), (76, 76, SCHEDULE_END, 0.004, 4096))


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is replaced by its nearest orthogonal one (five Newton-Schulz steps)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                by_shape.setdefault(p.shape, []).append((p, p.grad.lerp(m, group["momentum"])))
            for shape, pairs in by_shape.items():
                updates = orthogonal(torch.stack([u for _, u in pairs]))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for (p, _), u in zip(pairs, updates):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u.type_as(p), alpha=-scale)


def orthogonal(g):
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


def encode_example(tokenizer, example):
    prompt = tokenizer.prompt(example["request"])
    return prompt, tokenizer.encode(call_line(example["call"])) + [EOS]


def pad(rows):
    """Tokens and targets of one batch; the target of a prompt token is ignored."""
    width = max(len(p) + len(a) for p, a in rows) - 1
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), width), IGNORE)
    for i, (prompt, answer) in enumerate(rows):
        ids = torch.tensor(prompt + answer)
        tokens[i, :len(ids) - 1] = ids[:-1]
        targets[i, len(prompt) - 1:len(ids) - 1] = ids[len(prompt):]
    return tokens, targets


def batches(rows, budget, rng):
    """Rows of similar length together, about `budget` tokens a batch, in random order."""
    rows = sorted(rows, key=lambda r: len(r[0]) + len(r[1]))
    out, batch = [], []
    for row in rows:
        if batch and (len(batch) + 1) * (len(row[0]) + len(row[1])) > budget:
            out.append(batch)
            batch = []
        batch.append(row)
    out.append(batch)
    rng.shuffle(out)
    return out


def loss_of(model, tokens, targets):
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(tokens)
        at = targets != IGNORE
        logits = F.linear(hidden[at], model.embed.weight)
    return F.cross_entropy(logits.float(), targets[at])


@torch.no_grad()
def accuracy(model, tokenizer, examples):
    """Share of exact calls by function. Greedy decoding is exact where every next token is the best one."""
    right, total = {}, {}
    rows = sorted(((encode_example(tokenizer, e), e) for e in examples), key=lambda r: len(r[0][0]) + len(r[0][1]))
    wrong = []
    for start in range(0, len(rows), 64):
        part = rows[start:start + 64]
        tokens, targets = pad([r for r, _ in part])
        with torch.autocast("cpu", torch.bfloat16):
            best = F.linear(Llama.hidden(model, tokens), model.embed.weight).argmax(-1)
        good = ((best == targets) | (targets == IGNORE)).all(1)
        for ok, (_, example) in zip(good.tolist(), part):
            name = example["call"]["name"]
            right[name] = right.get(name, 0) + ok
            total[name] = total.get(name, 0) + 1
            if not ok:
                wrong.append(example)
    return {n: right[n] / total[n] for n in sorted(total)}, sum(right.values()) / sum(total.values()), wrong


class Run:
    """All that a checkpoint holds."""

    def __init__(self, work, shape):
        self.path = os.path.join(work, "last.pt")
        vocab = os.path.join(work, "vocab.json")
        if not os.path.exists(vocab):
            subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "tokenizer.py"), "--out", vocab], check=True)
        self.tokenizer = Tokenizer.load(vocab)
        torch.manual_seed(SEED)
        self.model = Llama(shape)
        if shutil.which("g++"):  # a third faster than step by step, and the same numbers up to rounding
            self.model.hidden = torch.compile(self.model.hidden, dynamic=True)
        matrices = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.optimizers = [(Muon(matrices, 0.0), 1.0), (torch.optim.AdamW(others, 0.0, (0.9, 0.98), weight_decay=0.0), 0.15)]
        self.chunk, self.step, self.seconds = 0, 0, 0.0
        if os.path.exists(self.path):
            self.load()

    def load(self):
        d = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(d["model"])
        for (optimizer, _), state in zip(self.optimizers, d["optimizers"]):
            optimizer.load_state_dict(state)
        self.chunk, self.step, self.seconds = d["chunk"], d["step"], d["seconds"]

    def save(self):
        torch.save({"model": self.model.state_dict(), "optimizers": [o.state_dict() for o, _ in self.optimizers],
                    "shape": self.model.shape.as_dict(), "chunk": self.chunk, "step": self.step, "seconds": self.seconds},
                   self.path + ".new")
        os.replace(self.path + ".new", self.path)

    def update(self, tokens, targets, rate):
        """One step at a rate."""
        rate *= min(1.0, (self.step + 1) / 200)
        loss = loss_of(self.model, tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, factor in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.item()


def share_rate(share):
    """Full rate for the first 30 %, then half a cosine down to 2 %."""
    x = min(max((share - 0.3) / 0.7, 0.0), 1.0)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * x))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", required=True)
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    os.makedirs(a.work, exist_ok=True)
    torch.set_num_threads(a.threads)
    run = Run(a.work, Shape())
    test_generator = Generator("test", 1)
    test = [test_generator.example() for _ in range(600)]
    print(f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.2f} M weights, step {run.step}", flush=True)
    mean = None
    while run.chunk < SCHEDULE_END:
        began, seen = time.time(), 0
        _, origin, end, rate, budget = [p for p in PHASES if p[0] <= run.chunk][-1]
        generator = Generator("train", f"chunk {run.chunk}")
        rows = [encode_example(run.tokenizer, generator.example()) for _ in range(CHUNK)]
        rows = batches([r for r in rows if len(r[0]) + len(r[1]) <= 256], budget, random.Random(run.chunk))
        for i, batch in enumerate(rows):
            tokens, targets = pad(batch)
            loss = run.update(tokens, targets, rate * share_rate((run.chunk + i / len(rows) - origin) / (end - origin)))
            seen += tokens.numel()
            mean = loss if mean is None else 0.99 * mean + 0.01 * loss
        run.chunk += 1
        run.seconds += time.time() - began
        print(f"{run.seconds / 60:6.1f} min  chunk {run.chunk}  step {run.step}  loss {mean:.4f}  tokens/s {seen / (time.time() - began):.0f}",
              flush=True)
        if run.chunk % 2 == 0 or run.chunk == SCHEDULE_END:
            run.save()
        if run.chunk % 10 == 0 or run.chunk == SCHEDULE_END:
            by_name, whole, _ = accuracy(run.model, run.tokenizer, test)
            print(f"        test {whole:.3f}  " + " ".join(f"{n} {v:.2f}" for n, v in by_name.items()), flush=True)


if __name__ == "__main__":
    main()
