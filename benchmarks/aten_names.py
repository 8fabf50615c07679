"""Names of PyTorch's library of tensors (ATen), by what a compiler can do with them."""

from __future__ import annotations

__all__ = [
    "APART",
    "CURVES",
    "INDEXING",
    "NORMALIZING",
    "REDUCING",
    "RESIZING",
    "SETTLED",
    "VIEWS",
    "WINDOWS",
]

NORMALIZING = frozenset(
    ["native_layer_norm", "native_group_norm", "_softmax", "_safe_softmax", "_log_softmax"]
)
"""They take sums over a row, and then go over it again."""
APART = frozenset({"native_group_norm"})
"""Their rows are whole frames, so they go over all numbers twice, and no other loop joins."""
REDUCING = frozenset(
    [
        "mean",
        "sum",
        "amax",
        "amin",
        "max",
        "min",
        "prod",
        "cumsum",
        "any",
        "all",
        "argmax",
        "var",
        "var_mean",
        "std",
        "linalg_vector_norm",
        "_adaptive_avg_pool2d",
    ]
)
"""Many numbers become one."""
WINDOWS = frozenset({"max_pool2d_with_indices", "avg_pool2d"})
"""Each result looks at a window."""
CURVES = frozenset(
    [
        "gelu",
        "silu",
        "sigmoid",
        "hardswish",
        "tanh",
        "exp",
        "erf",
        "sqrt",
        "rsqrt",
        "pow",
        "mish",
        "elu",
        "selu",
        "celu",
        "softplus",
        "log",
        "sin",
        "cos",
        "log_sigmoid_forward",
    ]
)
"""Functions of single numbers that take several steps."""
RESIZING = frozenset(
    [
        "upsample_bilinear2d",
        "upsample_nearest2d",
        "upsample_bicubic2d",
        "_upsample_bicubic2d_aa",
        "_upsample_bilinear2d_aa",
        "grid_sampler_2d",
    ]
)
INDEXING = frozenset(
    ["roll", "index", "constant_pad_nd", "index_select", "gather", "flip", "im2col", "col2im"]
)
"""Where each number comes from is computed, one by one."""
SETTLED = frozenset(
    [
        "arange",
        "empty",
        "empty_like",
        "empty_strided",
        "eye",
        "full",
        "full_like",
        "linspace",
        "new_empty",
        "ones",
        "ones_like",
        "rand",
        "randn",
        "scalar_tensor",
        "tril",
        "triu",
        "zeros",
        "zeros_like",
    ]
)
"""They depend on no frame."""
VIEWS = frozenset(
    [
        "_reshape_alias",
        "_unsafe_view",
        "alias",
        "as_strided",
        "chunk",
        "detach",
        "diagonal",
        "expand",
        "permute",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unfold",
        "unsafe_split",
        "unsqueeze",
        "view",
        "view_as_complex",
        "view_as_real",
    ]
)
"""They move nothing: the same memory in another shape."""
