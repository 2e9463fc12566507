"""Convolutions whose kernels are trained in bfloat16 on a CPU, with a quicker gradient than TensorFlow's."""

from typing import Any


def quicken(layer: Any) -> None:
    """Give a bfloat16 `Conv2D` of Keras its kernel's gradient as one matrix product for each of the kernel's places.

    oneDNN (3.7) gains nothing from bfloat16 in that gradient, but much in products of matrices: with this a training
    step takes less of the processor's time. What is computed is the same. Other layers, and all of them where
    TensorFlow has a GPU, stay as they are.
    """
    import tensorflow

    if not _is_plain(layer) or tensorflow.config.list_physical_devices("GPU"):
        return
    convolution = tensorflow.custom_gradient(_convolution)
    # The variable becomes a tensor in the layer's precision first, so that its own gradient is in float32 as ever.
    layer.convolution_op = lambda inputs, kernel: convolution(inputs, tensorflow.convert_to_tensor(kernel))


def _is_plain(layer: Any) -> bool:
    """A convolution in bfloat16 that looks at each place's surroundings, and answers with a map of the same size."""
    return (
        type(layer).__name__ == "Conv2D"
        and layer.compute_dtype == "bfloat16"
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and (layer.strides, layer.dilation_rate, layer.groups) == ((1, 1), (1, 1), 1)
        and all(size % 2 for size in layer.kernel_size)
        and layer.kernel_size != (1, 1)  # a matrix product already
    )


def _convolution(inputs: Any, kernel: Any) -> tuple[Any, Any]:
    """The convolution `(batch, height, width, channel)`, and the function that gives both gradients."""
    import tensorflow
    from tensorflow import raw_ops

    sides = {"strides": [1, 1, 1, 1], "padding": "SAME"}

    def gradients(outer: Any) -> tuple[Any, Any]:
        inner = raw_ops.Conv2DBackpropInput(
            input_sizes=tensorflow.shape(inputs), filter=kernel, out_backprop=outer, **sides
        )
        return inner, _kernel_gradient(inputs, outer, kernel.shape)

    return raw_ops.Conv2D(input=inputs, filter=kernel, **sides), gradients


def _kernel_gradient(inputs: Any, outer: Any, shape: Any) -> Any:
    """Each place of the kernel saw the inputs shifted by its distance from the middle."""
    import tensorflow

    rows, columns, channels, units = shape
    _, height, width, _ = inputs.shape
    padded = tensorflow.pad(inputs, [[0, 0], [rows // 2] * 2, [columns // 2] * 2, [0, 0]])
    flat = tensorflow.reshape(outer, (-1, units))
    seen = [padded[:, row : row + height, column : column + width] for row in range(rows) for column in range(columns)]
    products = [tensorflow.matmul(tensorflow.reshape(each, (-1, channels)), flat, transpose_a=True) for each in seen]
    return tensorflow.reshape(tensorflow.stack(products), shape)
