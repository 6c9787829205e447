"""A graph as it grows: nodes and constants, each value known by its name."""

import numpy as np

PREFIX = "skweiper/"
"""Of the names within the graph, so that they meet none of the network's that it stands behind."""
FIRST_OPSET = 16
"""From which on an operator counts: "ScatterElements" adds."""
AXES_AS_INPUT = 18
"""The operator set from which on the other reductions take their axes in the same way."""
LARGEST_GRAPH = 2**31 - 2**20
"""Bytes of constants: Protocol Buffers hold no message of 2 GiB, the nodes included."""


class Graph:
    """Nodes and constants of a graph in the order in which they were added.

    Parameters
    ----------
    opset : int
        Version of the standard operators.

    Attributes
    ----------
    nodes, constants : list
        In ONNX's own form.
    n_bytes : int
        Of all constants.
    """

    def __init__(self, opset):
        self.opset = opset
        self.nodes, self.constants = [], []
        self.n_bytes = 0

    def constant(self, values, dtype=None):
        """A constant's name.

        Parameters
        ----------
        values : array-like
        dtype : dtype, default=None
            None: as NumPy makes it.
        """
        from onnx import numpy_helper

        array = np.ascontiguousarray(values, dtype).reshape(np.shape(values))
        check_size(self.n_bytes + array.nbytes)
        self.n_bytes += array.nbytes
        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator, *inputs, name=None, **attributes):
        """Add a node of one output, and return the output's name.

        Parameters
        ----------
        operator : str
            Name in the standard operator set.
        *inputs : str
            Names of values.
        name : str, default=None
            Of the output; a number is added where there is one of the name. None: one that tells
            operator and place.
        **attributes : dict
            Of the operator.
        """
        from onnx import helper

        output = name or f"{PREFIX}{operator}_{len(self.nodes)}"
        if any(output in node.output for node in self.nodes):
            output = f"{output}_{len(self.nodes)}"
        label = output if output.startswith(PREFIX) else PREFIX + output
        self.nodes.append(helper.make_node(operator, inputs, [output], name=label, **attributes))
        return output

    def reduced(self, operator, values, axis=-1, keepdims=False):
        """A reduction ("ReduceSum", "ReduceMax", ...) over one axis."""
        keepdims = int(keepdims)
        if operator == "ReduceSum" or self.opset >= AXES_AS_INPUT:
            return self.node(operator, values, self.constant([axis]), keepdims=keepdims)
        return self.node(operator, values, axes=[axis], keepdims=keepdims)

    def largest(self, values, n_largest):
        """The largest values along the last axis, from the largest on."""
        from onnx import helper

        output = f"{PREFIX}TopK_{len(self.nodes)}"
        inputs, outputs = [values, self.constant([n_largest])], [output, f"{output}_places"]
        self.nodes.append(helper.make_node("TopK", inputs, outputs, name=output))
        return output

    def cast(self, values, dtype, name=None):
        """Values in another type."""
        from onnx import helper

        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", values, name=name, to=to)

    def filled(self, shape, value):
        """An array of a shape, by name, that holds one float32 value throughout."""
        from onnx import numpy_helper

        filling = numpy_helper.from_array(np.array([value], np.float32))
        return self.node("ConstantOfShape", shape, value=filling)

    def column(self, values):
        """A further axis of length one at the end."""
        return self.node("Unsqueeze", values, self.constant([-1]))


def check_size(n_bytes):
    """Refuse a graph that Protocol Buffers could not hold.

    Raises
    ------
    ValueError
    """
    if n_bytes > LARGEST_GRAPH:
        raise ValueError(
            f"The graph would hold {n_bytes / 2**30:.2f} GiB of constants, and an ONNX file holds "
            "less than 2 GiB. Fit with projection='implicit', whose graph holds the head and one "
            "number per perturbation, or with fewer n_repeats."
        )
