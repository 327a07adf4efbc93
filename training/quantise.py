"""The grid that the decoder's weights are shipped on, llama.cpp's Q4_1: 4 bits, blocks of 32 along the input, a scale
and a minimum a block, both in half precision."""

import torch

BLOCK = 32


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[rows, inputs] to levels 0..15 [rows, blocks, 32], scales and minima [rows, blocks]. What stands on such a grid
    already stays as it is."""
    blocks = weight.view(weight.shape[0], -1, BLOCK)
    low, high = blocks.amin(-1), blocks.amax(-1)
    scale = ((high - low) / 15).clamp(min=1e-7).half().float()
    low = low.half().float()
    levels = ((blocks - low[..., None]) / scale[..., None]).round().clamp(0, 15)
    return levels, scale, low


def dequantise(levels: torch.Tensor, scale: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    return (levels * scale[..., None] + low[..., None]).flatten(1)


def on_grid(weight: torch.Tensor) -> torch.Tensor:
    return dequantise(*quantise(weight))
