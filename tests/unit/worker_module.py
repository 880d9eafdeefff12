"""The module that test_worker sends to a host; standard library only."""

import os
import signal
import subprocess
import time


def main(request):
    if "sleep" in request:
        time.sleep(request["sleep"])
    if "meet" in request:
        # Opening a FIFO ends when somebody opens its other end.
        os.close(os.open(request["meet"], request["end"]))
    if request.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if request.get("speak"):
        # Its output must not mix with the answers, nor its input consume requests.
        subprocess.run(["sh", "-c", "echo said; cat"], check=True)
    os.environ["GRAPPE_LEFT"] = os.environ.get("GRAPPE_LEFT", "") + "x"
    return {"left": os.environ["GRAPPE_LEFT"], "pid": os.getppid(), "text": request["text"]}
