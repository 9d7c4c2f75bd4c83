"""Layer 2: networks. Tensors in, tensors out; they know nothing of files, folds or the search."""
