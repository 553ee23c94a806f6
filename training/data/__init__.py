"""Datasets: their arrays, the files that they are kept in, minibatches of them."""
