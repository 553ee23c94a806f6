"""Operators that are refused, each with the reason; any other operator is unknown."""

from __future__ import annotations

from sparsectl.policy.onnx_file.operators.registry import refused

refused(
    "of recurrence only RNN, GRU and LSTM are supported, and cells written as plain nodes whose "
    "state is an input and an output; write it as one of these, of one step (Keras: GRUCell, "
    "LSTMCell or SimpleRNNCell, with its state as an input and an output of the model)",
    "Scan",
    "Loop",
    "com.microsoft.AttnLSTM",
)
refused(
    "of convolutions only Conv in float is supported, of pooling what goes over the whole image "
    "(GlobalAveragePool, GlobalMaxPool); train with Conv2d, and take strides in place of pooling",
    *("ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "MaxPool", "AveragePool"),
    *("LpPool", "GlobalLpPool"),
)
refused(
    "of quantised operators those of vectors are supported, not this one; export the policy as it "
    "was before quantisation, and give --encoding dense-int8 or dense-int16",
    *("com.microsoft.DynamicQuantizeLSTM", "com.microsoft.QAttention", "com.microsoft.MatMulBnb4"),
    "com.microsoft.QLinearConcat",
)
refused(
    "onnxruntime wrote it for one processor; give the file that it read, or save it with "
    "graph_optimization_level ORT_ENABLE_EXTENDED",
    *(f"com.microsoft.nchwc.{name}" for name in ("Conv", "ReorderInput", "ReorderOutput")),
    *(f"com.microsoft.nchwc.{name}" for name in ("MaxPool", "AveragePool", "Upsample")),
    *("com.microsoft.nchwc.GlobalMaxPool", "com.microsoft.nchwc.GlobalAveragePool"),
)
refused(
    "QONNX's operators are not read; export the same network with QuantizeLinear and "
    "DequantizeLinear (brevitas.export.export_onnx_qcdq, or qonnx's convert to QCDQ)",
    *(f"qonnx.custom_op.general.{name}" for name in ("Quant", "BipolarQuant", "Trunc")),
    *(f"onnx.brevitas.{name}" for name in ("Quant", "BipolarQuant", "Trunc")),
)
refused(
    "of sorted values only the greatest is read; take max and argmax, which torch exports as "
    "ReduceMax and ArgMax",
    "TopK",
)
refused(
    "values are not written into others; join the parts with Concat (torch.cat)",
    *("ScatterND", "ScatterElements", "Scatter"),
)
refused(
    "an action that is drawn at random cannot be verified; export the mean or the most likely one",
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"),
    "Bernoulli",
)
refused(
    "it maps names to probabilities; convert with options={'zipmap': False}", "ai.onnx.ml.ZipMap"
)
refused(
    "attention is not supported; give a policy of vectors",
    *("Attention", "com.microsoft.Attention", "com.microsoft.MultiHeadAttention"),
)
refused(
    "it normalises groups; write it as Split, LayerNormalization of each part, and Concat",
    "GroupNormalization",
)
refused(
    "there is no C for this function; use the angle's sine and cosine as observations, or Tanh",
    *("Atan", "Asin", "Acos", "Tan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"),
)
refused(
    "what is not finite is for the firmware to refuse, and the C does not look for it; leave "
    "isnan, isinf or nan_to_num out and export again",
    *("IsNaN", "IsInf"),
)
