"""What the serving process imports of this package loads no numeric library and no model."""

import subprocess
import sys

HEAVY = ("numpy", "cv2", "onnxruntime", "onnx", "paddleocr", "paddlex", "insightface", "PIL")


def test_the_client_side_is_light() -> None:
    code = (
        "import sys, kyc, kyc.check, kyc.wire, kyc.worker, kyc.liveness.challenge\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
