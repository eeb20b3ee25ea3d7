"""Export Segment Anything models to ONNX, OpenVINO and Core ML, and prove that they still segment."""
