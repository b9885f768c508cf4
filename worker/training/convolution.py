"""Convolution, by unfolding tiles.

    x [height, channels, width, rows]            the rows are those of the micro-batch, and lie together
      | unfold: for every tile of th x tw outputs, its (th + kh - 1) x (tw + kw - 1) patch of x
      v
    U [bands, patch, cells x rows]               patch = patch height x channels x patch width
      | T U, where T [th x tw x filters, patch] holds the kernel once for each place in the tile, zeros around it
      v
    Y [bands, th x tw x filters, cells x rows] = x * kernel

Unfolding single pixels would copy each of them kh x kw times, and give products with as few rows as there are filters. A
tile copies less and multiplies wider; the price are the zeros in T, so that the tile is the smaller the more filters there
are. What is pooled together afterwards lies in planes of Y, far apart: its maximum runs over long stretches of memory, and
bias and ReLU come after it, on fewer values.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from worker.training.buffers import Array, zeros
from worker.training.layers import Shape
from worker.training.pooling import Winners
from worker.training.randomness import uniform

WIDE = 64
"""A product with so many rows runs near its full speed; a tile is made no larger than that takes."""


def tile_for(filters: int, group: tuple[int, int]) -> tuple[int, int]:
    """The outputs that are computed from one patch, [rows, columns]; they divide `group`, what is pooled together."""
    tile = [1, 1]
    for axis in (1, 0):
        if filters * tile[0] * tile[1] < WIDE:
            tile[axis] = group[axis]
    return tile[0], tile[1]


class Convolution:
    """y = max over pool x pool squares of (x * W), plus b; W is [filters, channels, kernel height, kernel width].

    `padding` zeros surround the images at each side; outputs beyond the last whole square of the pool are left out. With
    `pool` 1 it is the plain convolution (cross-correlation, as everywhere in this field).
    """

    def __init__(
        self, shape: Shape, filters: int, kernel: tuple[int, int], padding: tuple[int, int], pool: int
    ) -> None:
        height, channels, width = shape
        tall, wide = height + 2 * padding[0] - kernel[0] + 1, width + 2 * padding[1] - kernel[1] + 1
        self._shape, self._kernel, self._padding, self._pool = shape, kernel, padding, pool
        self.output_shape: Shape = (tall // pool, filters, wide // pool)
        self.parameter_shapes: tuple[Shape, ...] = ((filters, channels, *kernel), (filters,))

    def initial(self, source: np.random.PCG64) -> tuple[Array, ...]:
        """He et al. 2015, equation 10."""
        weight, bias = self.parameter_shapes
        return uniform(source, weight, math.sqrt(6 / math.prod(weight[1:]))), np.zeros(bias, np.float32)

    def bind(self, rows: int, parameters: Sequence[Array], gradients: Sequence[Array], first: bool) -> None:
        self._weight, self._bias = parameters[0].transpose(0, 2, 1, 3), parameters[1].reshape(-1, 1, 1)
        self._lay_out(rows)
        if self._pool > 1:
            self._winners = Winners(self._planes[0].shape, len(self._planes))
        else:
            self._output = zeros((*self.output_shape, rows))
            self._output_planes = self._placed_in(self._output)
        if gradients:
            self._weight_gradient, self._bias_gradient = gradients[0].transpose(0, 2, 1, 3), gradients[1]
            self._band_gradients = zeros((len(self._product), *self._matrix.shape))
            self._toeplitz_gradient = zeros(self._toeplitz.shape)
            self._ones = zeros((self.output_shape[2] * rows,))
            self._ones += 1
            self._sums = zeros(self.output_shape[:2])
            self._input_gradient = None if first else zeros((*self._shape, rows))
            if not first:
                self._unfolded_gradient = zeros(self._unfolded.shape)
                height, channels, width, _ = self._bordered.shape
                self._folded = zeros((height, channels, self._group[1], -(-width // self._group[1]), rows))
                self._bordered_gradient = zeros(self._bordered.shape)

    def _lay_out(self, rows: int) -> None:
        """U, T and Y of the drawing above; the columns of U and Y are [phases, cells, rows].

        What is pooled together, or shares a tile, is a group; a *phase* is the place of a tile in its group, and a
        plane of Y holds one output of every group.
        """
        (height, channels, width), (tall, filters, wide), pool = self._shape, self.output_shape, self._pool
        pairs = (
            2 - tall % 2,
            2 - wide % 2,
        )  # without pooling two neighbours may share a tile, if each has one
        tile = tile_for(filters, (pool, pool) if pool > 1 else pairs)
        group = (pool, pool) if pool > 1 else tile
        bands, cells = tall * pool // group[0], wide * pool // group[1]
        phases = (group[0] // tile[0], group[1] // tile[1])
        patch = (tile[0] + self._kernel[0] - 1, channels, tile[1] + self._kernel[1] - 1)
        self._tile, self._group = tile, group

        above, left = self._padding
        self._bordered = zeros((height + 2 * above, channels, width + 2 * left, rows))
        self._inside = (slice(above, above + height), slice(None), slice(left, left + width))
        self._unfolded = zeros((bands, *patch, *phases, cells, rows))
        down, over, right, row = self._bordered.strides
        steps = (down * group[0], down, over, right, down * tile[0], right * tile[1], right * group[1], row)
        self._windows = as_strided(self._bordered, self._unfolded.shape, steps)
        self._patches = self._unfolded.reshape(bands, math.prod(patch), -1)

        self._toeplitz = zeros((*tile, filters, *patch))
        self._matrix = self._toeplitz.reshape(-1, math.prod(patch))
        self._product = zeros((bands, len(self._matrix), self._patches.shape[2]))
        product = self._product.reshape(bands, *tile, filters, *phases, cells, rows)
        self._places = [(place, phase) for place in np.ndindex(tile) for phase in np.ndindex(phases)]
        self._planes = [product[:, *place, :, *phase] for place, phase in self._places]

    def _placed_in(self, output: Array) -> list[Array]:
        """Where the planes of Y belong in an output that is not pooled."""
        return [output[row :: self._tile[0], :, column :: self._tile[1]] for (row, column), _ in self._places]

    def _kernels_in(self, toeplitz: Array) -> list[Array]:
        """Where the kernel stands in T, for each place of the tile: [filters, kernel height, channels, kernel width]."""
        height, width = self._kernel
        return [
            toeplitz[row, column, :, row : row + height, :, column : column + width]
            for row, column in np.ndindex(self._tile)
        ]

    def forward(self, x: Array) -> Array:
        self._bordered[self._inside] = x
        np.copyto(self._unfolded, self._windows)
        for kernel in self._kernels_in(self._toeplitz):
            np.copyto(kernel, self._weight)
        np.matmul(self._matrix, self._patches, out=self._product)
        if self._pool > 1:
            output = self._winners.largest(self._planes)
            return np.add(output, self._bias, out=output)
        for plane, place in zip(self._planes, self._output_planes, strict=True):
            np.add(plane, self._bias, out=place)
        return self._output

    def backward(self, gradient: Array) -> Array:
        np.matmul(gradient.reshape(*self._sums.shape, -1), self._ones, out=self._sums)
        np.add.reduce(self._sums, axis=0, out=self._bias_gradient)
        if self._pool > 1:
            self._winners.share(gradient, self._planes, self._planes)
        else:
            for plane, place in zip(self._planes, self._placed_in(gradient), strict=True):
                np.copyto(plane, place)
        np.matmul(self._product, self._patches.transpose(0, 2, 1), out=self._band_gradients)
        np.add.reduce(self._band_gradients, axis=0, out=self._toeplitz_gradient.reshape(self._matrix.shape))
        first, *others = self._kernels_in(self._toeplitz_gradient)
        np.copyto(self._weight_gradient, first)
        for kernel in others:
            np.add(self._weight_gradient, kernel, out=self._weight_gradient)
        return gradient if self._input_gradient is None else self._fold(self._input_gradient)

    def _fold(self, input_gradient: Array) -> Array:
        """T^T dY, each patch added where it came from; columns a group apart lie together here, so that runs are long."""
        unfolded, (tile_height, tile_width), (down, right) = self._unfolded_gradient, self._tile, self._group
        bands, patch_height, _, patch_width, *phases, cells, _ = unfolded.shape
        np.matmul(self._matrix.T, self._product, out=unfolded.reshape(self._patches.shape))
        self._folded.fill(0)
        for phase in np.ndindex(*phases):
            for row in range(patch_height):
                top = row + phase[0] * tile_height
                band = self._folded[top : top + (bands - 1) * down + 1 : down]
                for column in range(patch_width):
                    group, place = divmod(column + phase[1] * tile_width, right)
                    target = band[:, :, place, group : group + cells]
                    np.add(target, unfolded[:, row, :, column, *phase], out=target)
        for place in range(right):
            columns = self._bordered_gradient[:, :, place::right]
            np.copyto(columns, self._folded[:, :, place, : columns.shape[2]])
        np.copyto(input_gradient, self._bordered_gradient[self._inside])
        return input_gradient
