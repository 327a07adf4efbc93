"""The graphs by which minilm weighs words (compressors/tcra/), beside its weights and made of them.

python tcra_words.py exact                                   words-exact.onnx
python tcra_words.py collect --split train --sentences 8000 --out DATA    what the head learns from, and dev to judge it by
python tcra_words.py fit --data DATA --epochs 8 --heads 2     words-fast.onnx

Then `python manifest.py ../models/weights/minilm embedder SOURCE SETTINGS`, as its model.json has them. What is shipped was fitted
on 6,000 train sentences (`collect --seed 2`) and judged on 500 dev ones (`--split dev --seed 1`).

`words-exact.onnx` is minilm with activations in float32: leaving out a word moves an embedding by about 0.01, int8 activations
by as much. `words-fast.onnx` is minilm as it is and a head that reads the states of one pass, and says what leaving out each
token would move. Both hold the head and the small tensors only; the weights are bytes of model.onnx (ONNX external data), so
they cost nothing on disk and are made again whenever it is.
"""

import argparse
import gzip
import json
import math
import pickle
import random
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from data import CLS, DATA, ROOT, SEP, tokens_of
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

MINILM = ROOT / "models" / "weights" / "minilm"
MODEL, EXACT, FAST = "model.onnx", "words-exact.onnx", "words-fast.onnx"
# States that the head reads: of the embeddings and of layers 2, 4 and 6; and the attention that each token gets, by layer and head.
STATES = ["/encoder/norm/LayerNormalization_output_0"] + [
    f"/encoder/layers.{layer}/norm2/LayerNormalization_output_0" for layer in (1, 3, 5)
]
ATTENTION = [f"/encoder/layers.{layer}/Softmax_output_0" for layer in range(6)]
# Smaller tensors stay in the graph: ONNX Runtime folds constants that it can see.
EXTERNAL_BYTES = 4_096
MAX_TOKENS = 200


def exact_graph() -> onnx.ModelProto:
    """minilm with float32 activations: each int8 product becomes one with the weights times their scales."""
    model = onnx.load(MINILM / MODEL)
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    user: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            user.setdefault(name, []).append(node)
    replaced: dict[int, list[onnx.NodeProto]] = {}
    gone: set[int] = set()
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        activations, weights, _, zero = node.input
        quantise = maker[activations]
        cast = user[node.output[0]][0]
        product = user[cast.output[0]][0]
        scales = maker[next(name for name in product.input if name != cast.output[0])]
        scale = next(name for name in scales.input if name != quantise.output[1])
        assert scale in constants and not numpy_helper.to_array(constants[zero]).any()
        gone |= {id(each) for each in (node, quantise, cast, scales)}
        name = weights.removesuffix("_quantized")
        replaced[id(product)] = [
            helper.make_node("Cast", [weights], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_float", scale], [f"{name}_scaled"]),
            helper.make_node("MatMul", [quantise.input[0], f"{name}_scaled"], [product.output[0]]),
        ]
    nodes = [each for node in graph.node if id(node) not in gone for each in replaced.get(id(node), [node])]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for each in list(graph.initializer):
        if each.name not in used:
            graph.initializer.remove(each)
    return model


def write(model: onnx.ModelProto, target: Path) -> None:
    """Writes a graph whose large tensors are bytes of model.onnx."""
    data = (MINILM / MODEL).read_bytes()
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        at = data.find(raw) if len(raw) >= EXTERNAL_BYTES else -1
        if at < 0:
            continue
        external_data_helper.set_external_data(tensor, MODEL, offset=at, length=len(raw))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    target.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{target}: {target.stat().st_size:,} bytes")


def session(source: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source if isinstance(source, bytes) else str(source), options)


def feeds(rows: list[list[int]]) -> dict[str, np.ndarray]:
    ids = np.array(rows, np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def sentences_of(split: str, count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    pool: list[str] = []
    for name in ("nq", "selqa", "hotpot", "hotpot-answer", "qed"):
        found = set()
        with gzip.open(DATA / "evidence" / f"{name}.{split}.jsonl.gz", "rt", encoding="utf8") as lines:
            for line in lines:
                for document in json.loads(line)["documents"]:
                    found |= {s.strip() for s in document["sentences"] if 4 <= len(s.split()) <= 70}
        pool += rng.sample(sorted(found), min(len(found), 20_000))
    pool = sorted(set(pool))
    rng.shuffle(pool)
    return pool[:count]


def collect(split: str, count: int, seed: int, out: Path) -> None:
    """Sentences with what each word moves (words in small letters, and the first: names stay anyway), and states."""
    model = onnx.load(MINILM / MODEL)
    for name in STATES + ATTENTION:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    states, exact = session(model.SerializeToString()), session(MINILM / EXACT)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    part = 0

    def flush() -> None:
        nonlocal rows, part
        with (out / f"data-{split}-{seed}-{part}.pkl").open("wb") as file:
            pickle.dump(rows, file)
        rows, part = [], part + 1

    began = time.time()
    for number, text in enumerate(sentences_of(split, count, seed)):
        words = text.split()
        tokens = [tokens_of(word, frozenset())[0] for word in words]
        if sum(map(len, tokens)) > MAX_TOKENS:
            continue
        ends = np.cumsum([1] + [len(each) for each in tokens]).tolist()
        spans = list(zip(ends, ends[1:]))
        whole = [CLS, *(i for each in tokens for i in each), SEP]
        free = [
            index
            for index, word in enumerate(words)
            if tokens[index] and (re.fullmatch("[a-z][a-z'’-]*", word) or (index == 0 and re.fullmatch("[A-Z][a-z'’-]*", word)))
        ]
        if not free:
            continue
        embedding = exact.run(["embedding"], feeds([whole]))[0][0].astype(np.float64)
        moved = np.full(len(words), np.nan, np.float32)
        by_length: dict[int, list[int]] = {}
        for index in free:
            by_length.setdefault(len(tokens[index]), []).append(index)
        for group in by_length.values():
            without = exact.run(["embedding"], feeds([whole[: spans[i][0]] + whole[spans[i][1] :] for i in group]))[0]
            moved[group] = 1 - without.astype(np.float64) @ embedding
        found = states.run(STATES + ATTENTION, feeds([whole]))
        rows.append({
            "s": text,
            "words": words,
            "spans": spans,
            "ids": whole,
            "w": moved,
            "h": [each[0].astype(np.float16) for each in found[:4]],
            "att": np.concatenate([each[0].sum(1) for each in found[4:]]).astype(np.float16),
        })  # fmt: skip
        if len(rows) == 500:
            flush()
            print(f"{number + 1} sentences, {time.time() - began:.0f} s", flush=True)
    flush()


def features(states: list[Tensor], attention: list[Tensor]) -> Tensor:
    """[batch, tokens, features] of states [batch, tokens, 384] and attention [batch, heads, tokens] that each token gets."""
    last = states[-1]
    total = last.sum(1, keepdim=True)
    length = total.norm(dim=-1, keepdim=True)
    direction = total / length
    # What taking a token's own state out of the mean would move it: the part that the others' changes come on top of.
    without = total - last
    own = 1 - (without * direction).sum(-1, keepdim=True) / without.norm(dim=-1, keepdim=True)
    along = (last * direction).sum(-1, keepdim=True)
    tokens = torch.ones_like(along).sum(1, keepdim=True) * torch.ones_like(along)
    return torch.cat(
        [
            (own.clamp(min=0) + 1e-7).log() + 2 * tokens.log(),
            tokens.log(),
            along / length * tokens,
            ((last - along * direction).norm(dim=-1, keepdim=True) + 1e-6).log(),
            (torch.cat(attention, 1).transpose(1, 2) + 1e-3).log(),
            *states,
        ],
        -1,
    )


class Block(nn.Module):
    """A transformer layer, normalised before each half."""

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.1):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = x.shape
        mixed = self.mix(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = mixed.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(width // self.heads) + bias, -1)
        x = x + self.dropout(self.out((weights @ v).transpose(1, 2).reshape(batch, length, width)))
        return x + self.dropout(self.down(F.relu(self.up(self.norm2(x)))))


class Head(nn.Module):
    """For each token the logarithm of what leaving it out moves, times the tokens squared; a word's is the sum of its tokens'."""

    def __init__(self, mean: Tensor, scale: Tensor, width: int):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.enter, self.skip = nn.Linear(len(mean), width), nn.Linear(len(mean), 1)
        self.dropout, self.block, self.norm = nn.Dropout(0.1), Block(width), nn.LayerNorm(width)
        self.hidden, self.leave = nn.Linear(width, 64), nn.Linear(64, 1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.dropout((x - self.mean) / self.scale)
        deep = self.leave(F.relu(self.hidden(self.norm(self.block(self.enter(x), bias)))))
        return (deep + self.skip(x))[..., 0].clamp(-12, 12)


class OnePass(nn.Module):
    """What leaving out each token moves: the mean of several heads."""

    def __init__(self, heads: list[Head]):
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, *parts: Tensor) -> Tensor:
        states, attention = list(parts[: len(STATES)]), [each.sum(2) for each in parts[len(STATES) :]]
        x = features(states, attention)
        none = x.new_zeros(1)
        logarithm = sum(head(x, none) for head in self.heads) / len(self.heads)
        return logarithm.exp() / torch.ones_like(x[:, :, 0]).sum(1, keepdim=True) ** 2


class Rows:
    """Sentences as the head is trained on them."""

    def __init__(self, folder: Path, split: str):
        rows = []
        for path in sorted(folder.glob(f"data-{split}-*.pkl")):
            with path.open("rb") as file:
                rows += pickle.load(file)
        self.x, self.y, self.word = [], [], []
        for row in rows:
            states = [torch.tensor(each.astype(np.float32))[None] for each in row["h"]]
            attention = [torch.tensor(row["att"].astype(np.float32))[None]]
            tokens = len(row["ids"])
            free = [index for index, moved in enumerate(row["w"]) if not np.isnan(moved)]
            word = np.full(tokens, -1)
            for place, index in enumerate(free):
                word[slice(*row["spans"][index])] = place
            self.x.append(features(states, attention)[0].half())
            self.y.append(np.log(np.maximum(row["w"][free], 1e-6)) + 2 * np.log(tokens))
            self.word.append(word)

    def batch(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        longest = max(len(self.word[i]) for i in indices)
        most = max(len(self.y[i]) for i in indices)
        x = torch.zeros(len(indices), longest, self.x[0].shape[1])
        bias = torch.full((len(indices), 1, 1, longest), -1e4)
        word = torch.full((len(indices), longest), most)
        y, known = torch.zeros(len(indices), most), torch.zeros(len(indices), most, dtype=torch.bool)
        for at, i in enumerate(indices):
            tokens = len(self.word[i])
            x[at, :tokens], bias[at, ..., :tokens] = self.x[i].float(), 0
            word[at, :tokens] = torch.tensor(np.where(self.word[i] < 0, most, self.word[i]))
            y[at, : len(self.y[i])], known[at, : len(self.y[i])] = torch.tensor(self.y[i]), True
        return x, bias, word, y, known


def of_words(tokens: Tensor, word: Tensor, words: int) -> Tensor:
    """Sums over the tokens of each word, as logarithms."""
    sums = torch.zeros(len(tokens), words + 1).scatter_add(1, word, tokens.exp())
    return (sums[:, :words] + 1e-9).log()


# About what is dropped of the words that may be where a fifth of the tokens goes.
SHARE = 0.43


def predicted(heads: list[Head], rows: Rows) -> list[np.ndarray]:
    out = []
    with torch.no_grad():
        for start in range(0, len(rows.y), 32):
            indices = list(range(start, min(start + 32, len(rows.y))))
            x, bias, word, y, _ = rows.batch(indices)
            found = of_words(sum(head.eval()(x, bias) for head in heads) / len(heads), word, y.shape[1])
            out += [found[at, : len(rows.y[i])].numpy() for at, i in enumerate(indices)]
    return out


def agreement(found: list[np.ndarray], rows: Rows) -> dict[str, float]:
    """Of the SHARE of words that the exact mode finds lightest, over all sentences, the share that the head finds so too."""
    p, y = np.concatenate(found), np.concatenate(rows.y)
    count = int(SHARE * len(y))
    both = set(np.argsort(p, kind="stable")[:count]) & set(np.argsort(y, kind="stable")[:count])
    return {"agreed": round(len(both) / count, 4), "r": round(float(np.corrcoef(p, y)[0, 1]), 4)}


def fit(folder: Path, epochs: int, width: int, members: int) -> None:
    train, dev = Rows(folder, "train"), Rows(folder, "dev")
    sample = torch.cat([each.float() for each in train.x[:1500]])
    mean, scale = sample.mean(0), sample.std(0) + 1e-6
    border = float(np.quantile(np.concatenate(train.y), SHARE))
    print(f"{len(train.y)} sentences, {sum(map(len, train.y))} words; dev {len(dev.y)}", flush=True)
    heads, began, batch = [], time.time(), 16
    for member in range(members):
        torch.manual_seed(member)
        rng = np.random.default_rng(member)
        head = Head(mean, scale, width)
        optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
        steps = epochs * math.ceil(len(train.y) / batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
        for epoch in range(epochs):
            head.train()
            order = rng.permutation(len(train.y)).tolist()
            # Sentences of like length go together, for there to be little padding.
            near = [order[at : at + 16 * batch] for at in range(0, len(order), 16 * batch)]
            order = [i for part in near for i in sorted(part, key=lambda i: len(train.word[i]))]
            parts = [order[at : at + batch] for at in range(0, len(order), batch)]
            random.Random(epoch).shuffle(parts)
            for part in parts:
                x, bias, word, y, known = train.batch(part)
                found = of_words(head(x, bias), word, y.shape[1])
                # What matters is on which side of the border a word is.
                weight = (0.4 + torch.exp(-((y - border) ** 2)))[known]
                loss = (F.smooth_l1_loss(found[known], y[known], reduction="none") * weight).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            if epoch % 3 == 2 or epoch == epochs - 1:
                print(member, epoch, agreement(predicted([head], dev), dev), f"{time.time() - began:.0f} s", flush=True)
        heads.append(head)
        torch.save([each.state_dict() for each in heads], folder / "heads.pt")
    print("together", agreement(predicted(heads, dev), dev))
    write(fast_graph(OnePass(heads).eval()), MINILM / FAST)


def fast_graph(one_pass: OnePass) -> onnx.ModelProto:
    model = onnx.load(MINILM / MODEL)
    states = tuple(torch.rand(1, 9, 384) for _ in STATES)
    attention = tuple(torch.rand(1, 12, 9, 9) for _ in ATTENTION)
    names = [f"states{at}" for at in range(len(STATES))] + [f"attention{at}" for at in range(len(ATTENTION))]
    axes = {name: {1: "tokens"} if name.startswith("s") else {2: "tokens", 3: "tokens"} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.onnx"
        torch.onnx.export(
            one_pass, states + attention, path, input_names=names, output_names=["movements"],
            dynamic_axes=axes | {"movements": {1: "tokens"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
        head = onnx.compose.add_prefix(onnx.load(path), "words/", rename_inputs=False, rename_outputs=False)
    rename = dict(zip(names, STATES + ATTENTION))
    for node in head.graph.node:
        node.input[:] = [rename.get(name, name) for name in node.input]
    # The embedding itself is not wanted: what only it needs goes.
    del model.graph.output[:]
    model.graph.output.extend(head.graph.output)
    model.graph.node.extend(head.graph.node)
    model.graph.initializer.extend(head.graph.initializer)
    needed, nodes = {"movements"}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    for each in list(model.graph.initializer):
        if each.name not in needed:
            model.graph.initializer.remove(each)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["exact", "collect", "fit"])
    parser.add_argument("--split", choices=["train", "dev"], default="train")
    parser.add_argument("--sentences", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/words"))
    parser.add_argument("--data", type=Path, default=Path("runs/words"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "exact":
        write(exact_graph(), MINILM / EXACT)
    elif options.what == "collect":
        collect(options.split, options.sentences, options.seed, options.out)
    else:
        fit(options.data, options.epochs, options.width, options.heads)


if __name__ == "__main__":
    main()
