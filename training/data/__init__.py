"""Datasets: their arrays, their files, and minibatches."""
