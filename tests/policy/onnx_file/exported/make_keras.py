"""Makes the keras_*.onnx here, in an environment of its own since TensorFlow is heavy:

python -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0 tf2onnx==1.17.0
tf/bin/python tests/policy/onnx_file/exported/make_keras.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

HERE = Path(__file__).parent
L = tf.keras.layers


def hidden(activation, observation):
    x = observation
    for _ in range(2):
        x = L.Dense(8, activation=activation)(x)
    return x


def save(name, observation, action):
    model = tf.keras.Model(observation, action)
    for weight in model.weights:
        if "bias" in weight.path:
            weight.assign(np.random.default_rng(3).normal(size=weight.shape) * 0.3)
    spec = tf.TensorSpec([None, *observation.shape[1:]], tf.float32, name="observation")

    @tf.function(input_signature=[spec])
    def act(x):
        return model(x, training=False)

    proto, _ = tf2onnx.convert.from_function(act, input_signature=[spec], opset=15)
    onnx.save(proto, HERE / f"keras_{name}.onnx")


def main():
    tf.keras.utils.set_random_seed(1)
    vector = tf.keras.Input((4,), name="observation")
    for name in "relu leaky_relu elu selu softplus swish sigmoid tanh relu6".split():
        save(name, vector, L.Dense(2, activation="tanh")(hidden(name, vector)))
    save("softmax", vector, L.Dense(3, activation="softmax")(hidden("relu", vector)))
    argmax = L.Lambda(lambda x: tf.argmax(x, axis=-1))
    save("argmax", vector, argmax(L.Dense(3)(hidden("relu", vector))))
    mean = L.Lambda(lambda x: tf.tanh(tf.split(x, 2, axis=-1)[0]) * 2.0 + 0.5)
    save("split", vector, mean(L.Dense(4)(hidden("relu", vector))))
    normalised = L.Lambda(
        lambda x: (x - tf.constant([0.1, -1, 2, 3])) / tf.constant([1, 2, 0.5, 1.5])
    )
    x = L.BatchNormalization()(L.Dense(8)(normalised(vector)))
    x = L.Dense(2)(L.Dropout(0.2)(L.LeakyReLU(negative_slope=0.2)(x)))
    save("normalisation", vector, L.Lambda(lambda x: tf.clip_by_value(x, -1.0, 1.0))(x))
    frames = tf.keras.Input((2, 2), name="observation")
    gelu = L.Dense(8, activation=lambda x: tf.nn.gelu(x, approximate=True))
    save("frames", frames, L.Dense(2)(gelu(L.Flatten()(frames))))


if __name__ == "__main__":
    main()
