"""What the tests of the export share: graphs of a few nodes evaluated, models run."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def session(model):
    """A model in onnxruntime, on one thread, so that the suite's processes do not wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def run(model, X):
    """Outputs of a model by name."""
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session(model).run(names, {"features": X}), strict=True))


def run_with(model, X, *names):
    """`run` with values from within the graph as further outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return run(copy, X)


def evaluated(build, values, opset=16):
    """What a builder's part of a graph makes of an array.

    Parameters
    ----------
    build : callable
        From (Graph, name of the values) to the name of the result.
    values : ndarray
    opset : int
    """
    from skweiper.export.graph import Graph

    graph = Graph(opset)
    result = build(graph, "values")
    kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
    source = onnx.helper.make_tensor_value_info("values", kind, [None] * values.ndim)
    end = onnx.helper.make_empty_tensor_value_info(result)
    proto = onnx.helper.make_graph(graph.nodes, "part", [source], [end], graph.constants)
    imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(proto, opset_imports=imports, ir_version=8)
    return session(model).run(None, {"values": np.ascontiguousarray(values)})[0]
