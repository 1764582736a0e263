"""What judges a network on labelled images: the images to score on, and every figure that follows from the answers.

Importing this package imports neither torch nor onnxruntime; the module `assess` does.
"""
