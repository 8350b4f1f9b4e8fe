"""Encoder and decoder as ONNX graphs, made from the weights files alone: making and using them takes no TensorFlow.

Opset 17, float32, any batch size N, d latent dimensions:

    encoder   images (N, 28, 28, 1) in [0, 1]   ->  z_mean, z_log_var (N, d)
    decoder   z (N, d)                          ->  logits, probabilities (N, 28, 28, 1)

Keras has the channels last and ONNX first. An image has one channel, so a reshape turns one into the other at the ends;
between them the dense layers' weights are put into ONNX's order instead of the activations.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from digit_vae import __version__
from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing
from digit_vae.model.units import UNITS
from digit_vae.serving.trained import TrainedRun

OPSET = 17
IR_VERSION = 8  # the format of opset 17, read by ONNX Runtime from 1.10 on
EPSILON = 1e-3  # of Keras' BatchNormalization
IMAGE = (28, 28, 1)
SMALL = (64, 7, 7)  # the smallest feature maps, channels first
MOST_DIMENSIONS = 1024  # latent ones that a run may have
LATENT = {"encoder": ("z_mean", -1), "decoder": ("dense", 0)}  # the layer and the axis of its kernel that has them
NORMALISED = {"encoder": ("conv_1_norm", "conv_2_norm"), "decoder": ("conv_transpose_1_norm", "conv_transpose_2_norm")}

Shape = tuple[int, ...]
Floats = npt.NDArray[np.float32]
Layers = Mapping[str, Sequence[Floats]]  # the variables of each layer, in Keras' order
# TensorFlow's padding "same" of a 3x3 kernel: at stride 2 a row and a column at the end, at stride 1 all round.
PADS = {2: [0, 0, 1, 1], 1: [1, 1, 1, 1]}


class Graph(NamedTuple):
    """A graph under construction: its nodes, and its constants by name."""

    nodes: list[NodeProto]
    constants: dict[str, np.ndarray]

    def add(
        self, kind: str, of: str, to: str, constants: Sequence[np.ndarray] = (), attributes: Mapping[str, Any] = {}
    ) -> str:
        """Adds the node `to`, of the output `of` and constants. Returns: the name of its output."""
        names = [f"{to}.{number}" for number in range(len(constants))]
        self.constants.update(zip(names, constants, strict=True))
        self.nodes.append(helper.make_node(kind, [of, *names], [to], name=to, **attributes))
        return to


def read_layers(weights: Path, part: str, *, made_by: str) -> dict[str, list[Floats]]:
    """The variables of each layer of a `.weights.h5` file, by the layer's name. part: encoder or decoder.

    Raises: UserError when the file is missing or damaged, as `existing` and `damaged` do, or when it holds other layers
    than the part has, or numbers that are not finite. Shapes are checked before anything is read.
    """
    try:
        with h5py.File(existing(weights, made_by=made_by)) as file:
            stored = [layer["vars"] for layer in file["layers"].values()]
            found = {each.attrs["name"]: [each[key] for key in sorted(each)] for each in stored if len(each)}
            received = {name: [each.shape for each in variables] for name, variables in found.items()}
            for problem in _problems(part, received):
                raise UserError(f"{weights}: expected the layers of the {part}; received others ({problem})")
            layers = {name: [np.array(each, np.float32) for each in variables] for name, variables in found.items()}
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(weights, made_by, " ".join(str(error).split())) from error
    for name, variables in layers.items():
        if not all(np.isfinite(each).all() for each in variables):
            raise UserError(f"{weights}: expected finite numbers in layer {name}; received others")
    return layers


def _problems(part: str, received: Mapping[str, Sequence[Shape]]) -> Iterator[str]:
    """What is wrong with the shapes of the variables of a part's layers."""
    layer, axis = LATENT[part]
    kernel = (*received.get(layer, ()), ())[0]
    shapes = _shapes(part, min(max(kernel[axis], 1), MOST_DIMENSIONS) if kernel else 1)
    if not received.keys().isdisjoint(NORMALISED[part]):
        shapes |= {name: [(UNITS[name.removesuffix("_norm")],)] * 4 for name in NORMALISED[part]}
    for name in sorted(shapes.keys() | received.keys()):
        wanted, there = (list(each.get(name, ())) for each in (shapes, received))
        if wanted != there:
            yield f"variables of layer {name}: expected shapes {wanted}; received {there}"


def _shapes(part: str, latent: int) -> dict[str, list[Shape]]:
    """The shapes of kernel and bias of each layer: of model/vae.py, of so many latent dimensions."""
    first, second, hidden, dense, wide, narrow = UNITS.values()
    kernels: dict[str, Shape] = {
        "conv_1": (3, 3, 1, first),
        "conv_2": (3, 3, first, second),
        "hidden": (7 * 7 * second, hidden),
        "z_mean": (hidden, latent),
        "z_log_var": (hidden, latent),
    }
    if part == "decoder":
        transposed = {"conv_transpose_1": (3, 3, wide, SMALL[0]), "conv_transpose_2": (3, 3, narrow, wide)}
        kernels = {"dense": (latent, dense), **transposed, "logits": (3, 3, 1, narrow)}
    outputs = {name: shape[-2 if "transpose" in name or name == "logits" else -1] for name, shape in kernels.items()}
    return {name: [shape, (outputs[name],)] for name, shape in kernels.items()}


def encoder_graph(layers: Layers) -> ModelProto:
    """The encoder with these variables. Raises: KeyError when a layer is missing."""
    graph = Graph([], {})
    hidden = graph.add("Reshape", "images", "channels_first", [np.array([-1, 1, 28, 28])])
    for name in ("conv_1", "conv_2"):
        kernel, bias = layers[name]
        kernel = kernel.transpose(3, 2, 0, 1)  # (h, w, in, out) to (out, in, h, w)
        hidden = graph.add("Conv", hidden, name, [kernel, bias], {"strides": [2, 2], "pads": PADS[2]})
        hidden = _normalised(graph, layers, graph.add("Relu", hidden, f"{name}_relu"), name)
    hidden = graph.add("Flatten", hidden, "flatten")
    kernel, bias = layers["hidden"]
    kernel = kernel.reshape(7, 7, 64, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    hidden = graph.add("Relu", graph.add("Gemm", hidden, "hidden", [kernel, bias]), "hidden_relu")
    latent = [graph.add("Gemm", hidden, name, layers[name]) for name in ("z_mean", "z_log_var")]
    shape = (layers["z_mean"][1].size,)
    return _model(graph, "encoder", {"images": IMAGE}, dict.fromkeys(latent, shape))


def decoder_graph(layers: Layers) -> ModelProto:
    """The decoder with these variables. Raises: KeyError when a layer is missing."""
    graph = Graph([], {})
    kernel, bias = (each.reshape(-1, 7, 7, 64).transpose(0, 3, 1, 2) for each in layers["dense"])
    hidden = graph.add("Gemm", "z", "dense", [kernel.reshape(len(kernel), -1), bias.reshape(-1)])
    hidden = graph.add("Reshape", graph.add("Relu", hidden, "dense_relu"), "feature_maps", [np.array([-1, *SMALL])])
    for name in ("conv_transpose_1", "conv_transpose_2"):
        hidden = graph.add("Relu", _transposed(graph, layers, hidden, name, name, stride=2), f"{name}_relu")
        hidden = _normalised(graph, layers, hidden, name)
    hidden = _transposed(graph, layers, hidden, "logits", "logits_channels_first", stride=1)
    logits = graph.add("Reshape", hidden, "logits", [np.array([-1, *IMAGE])])
    probabilities = graph.add("Sigmoid", logits, "probabilities")
    shape = (layers["dense"][0].shape[0],)
    return _model(graph, "decoder", {"z": shape}, dict.fromkeys((logits, probabilities), IMAGE))


BUILDERS = {"encoder": encoder_graph, "decoder": decoder_graph}


def onnx_files(run: TrainedRun) -> dict[str, bytes]:
    """encoder.onnx and decoder.onnx of a run; the same weights give the same bytes.

    Raises: UserError when a weights file cannot be read, or is not of this architecture.
    """
    contents = {}
    for part, build in BUILDERS.items():
        path = Path(getattr(run, part))
        model = build(read_layers(path, part, made_by=run.made_by))
        helper.set_model_props(model, {"run": run.name})
        contents[f"{part}.onnx"] = model.SerializeToString(deterministic=True)
    return contents


def _transposed(graph: Graph, layers: Layers, of: str, layer: str, to: str, *, stride: int) -> str:
    """A transposed convolution, without its activation."""
    kernel, bias = layers[layer]
    kernel = kernel.transpose(3, 2, 0, 1)  # (h, w, out, in) to (in, out, h, w)
    return graph.add("ConvTranspose", of, to, [kernel, bias], {"strides": [stride] * 2, "pads": PADS[stride]})


def _normalised(graph: Graph, layers: Layers, of: str, name: str) -> str:
    """Batch normalisation by the moving averages, where the model has such a layer behind the layer `name`."""
    if f"{name}_norm" not in layers:
        return of
    return graph.add("BatchNormalization", of, f"{name}_norm", layers[f"{name}_norm"], {"epsilon": EPSILON})


def _model(
    graph: Graph, name: str, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]
) -> ModelProto:
    """The graph with inputs and outputs of these shapes after the batch, checked."""
    entry, exit_ = (
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["N", *shape]) for key, shape in each.items()]
        for each in (inputs, outputs)
    )
    constants = [numpy_helper.from_array(np.ascontiguousarray(value), key) for key, value in graph.constants.items()]
    made = helper.make_model(
        helper.make_graph(graph.nodes, name, entry, exit_, constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="digit-vae",
        producer_version=__version__,
    )
    checker.check_model(made, full_check=True)
    return made
