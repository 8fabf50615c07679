"""From a trained network to delivered files: ONNX, quantization schemes, parity, the bundle."""
