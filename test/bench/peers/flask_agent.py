"""The original in small: a Flask agent with the same contract, as a peer to measure against.

Settings: PORT, API_TOKEN, SESSIONS_DIR. Runs each command with /bin/sh, 45 s at most, answers with 90 KB and keeps the
rest in the sessions directory.
"""

import hmac
import os
import subprocess
import uuid

from flask import Flask, jsonify, request

TOKEN = os.environ["API_TOKEN"]
SESSIONS = os.environ["SESSIONS_DIR"]
TIMEOUT_SECONDS = 45
MAX_BYTES = 90 * 1024

app = Flask(__name__)


def run(cmd):
    try:
        ended = subprocess.run(["/bin/sh", "-c", cmd], capture_output=True, timeout=TIMEOUT_SECONDS)
        return ended.stdout, ended.stderr, ended.returncode
    except subprocess.TimeoutExpired as late:
        return late.stdout or b"", late.stderr or b"", 124


def shell(args):
    cmd = args.get("cmd")
    if not cmd:
        return jsonify(error="Missing cmd"), 400
    stdout, stderr, code = run(cmd)
    answer = {"stderr": stderr[:MAX_BYTES].decode("utf-8", "replace"), "exit_code": code}
    if len(stdout) > MAX_BYTES:
        answer["session"] = str(uuid.uuid4())
        with open(os.path.join(SESSIONS, answer["session"]), "wb") as kept:
            kept.write(stdout)
    answer["stdout"] = stdout[:MAX_BYTES].decode("utf-8", "replace")
    return jsonify(answer)


def read_session(args):
    with open(os.path.join(SESSIONS, str(uuid.UUID(args["session"]))), "rb") as kept:
        kept.seek(int(args.get("offset", 0)))
        return jsonify(stdout=kept.read(min(int(args.get("limit", MAX_BYTES)), MAX_BYTES)).decode("utf-8", "replace"))


def close_session(args):
    os.remove(os.path.join(SESSIONS, str(uuid.UUID(args["session"]))))
    return jsonify(status="closed")


OPERATIONS = {"shell": shell, "read_session": read_session, "close_session": close_session}


@app.get("/healthz")
def health():
    return jsonify(status="ok")


@app.post("/")
def call():
    if not hmac.compare_digest(request.headers.get("X-Auth-Token", ""), TOKEN):
        return jsonify(error="Unauthorized"), 403
    body = request.get_json(force=True, silent=True)
    if body is None:
        return jsonify(error="Invalid JSON"), 400
    operation = OPERATIONS.get(body.get("op"))
    if operation is None:
        return jsonify(error="Invalid op"), 400
    return operation(body.get("args", {}))


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
