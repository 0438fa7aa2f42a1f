"""How much memory do the two processes keep?  Limits: serving 250 MB idle, inference 1.2 GB."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks.process import resident_mb
from kyc.check import Finding
from kyc.worker import Inference

ROOT = Path(__file__).resolve().parent.parent
SERVING_MB, INFERENCE_MB = 250, 1200
SETTLE_S = 5
FRAMES = 6
MB = 1 << 20


def models_directory(scratch: Path) -> Path:
    """The models of the set-up, or made here."""
    ready = ROOT / "data" / "models"
    if not ready.exists():
        ready = scratch / "models"
        subprocess.run([sys.executable, "-m", "kyc", "setup", "--models", str(ready)], check=True)
    return ready


def serving_mb(scratch: Path, models: Path) -> float:
    """The server's own memory some seconds after its start, with nobody there."""
    data = scratch / "data"
    data.mkdir()
    (data / "models").symlink_to(models)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "run_server.py", "--port", str(port), "--data", str(data)]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _await_health(server, f"http://127.0.0.1:{port}/api/health")
        time.sleep(SETTLE_S)
        return resident_mb(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _await_health(server: "subprocess.Popen[bytes]", url: str) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not answer")


async def inference_mb(models: Path) -> tuple[float, float]:
    """Memory of the inference process with its models loaded, and its peak after every check."""
    async with Inference(models_dir=models) as inference:
        await inference.models()
        loaded = (await inference.memory())["now"]
        portrait = _jpeg()
        params: dict[str, dict[str, object]] = {
            "id_card_front": {},
            "id_card_back": {},
            "face_match": {"portrait_jpeg": portrait},
            "liveness": {"prompts": ["blink", "left"], "prompt_s": 5.0, "reference": None},
        }
        noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
        for check, arguments in params.items():
            async with inference.open(check, **arguments) as live:
                for number in range(FRAMES):
                    answer = await live.see(
                        width=1280, height=720, bgr=noise.tobytes(), media_time_us=number * 100_000
                    )
                    if isinstance(answer, Finding):
                        break
        peak = (await inference.memory())["peak"]
    return loaded / MB, peak / MB


def _jpeg() -> bytes:
    import cv2  # only this process: the serving process under measurement is another one

    face = np.full((220, 180, 3), 160, np.uint8)
    return bytes(cv2.imencode(".jpg", face)[1])


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        models = models_directory(scratch)
        serving = serving_mb(scratch, models)
        loaded, peak = asyncio.run(inference_mb(models))
    good = serving <= SERVING_MB and peak <= INFERENCE_MB
    figures = {
        "benchmark": "memory",
        "serving_idle_mb": round(serving),
        "serving_limit_mb": SERVING_MB,
        "inference_loaded_mb": round(loaded),
        "inference_peak_mb": round(peak),
        "inference_limit_mb": INFERENCE_MB,
        "ok": good,
    }
    print(json.dumps(figures), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
