"""The fake provider as others start it: in a process of its own, with a plan."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[3]
ASK = {"model": "m", "tools": [{"name": "Write"}], "messages": [{"role": "user", "content": "hi"}]}


def test_it_plays_a_plan_from_a_process_of_its_own(tmp_path: Path) -> None:
    plan = [{"do": "write", "path": "a.txt", "content": "A"}, {"do": "credit", "times": 2}]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.fake_anthropic"),
            *("--plan", str(tmp_path / "plan.json"), "--port-file", str(tmp_path / "port")),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 10
        while not (tmp_path / "port").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text()}"
        with httpx2.Client(base_url=url, headers={"x-api-key": "k"}) as client:
            first = client.post("/v1/messages", json=ASK).json()
            assert first["content"][0]["input"] == {
                "file_path": "/workspace/a.txt",
                "content": "A",
            }
            # A side request takes nothing from the plan.
            side = client.post("/v1/messages", json={**ASK, "tools": []})
            assert side.json()["content"][0]["text"] == "Done."
            assert [client.post("/v1/messages", json=ASK).status_code for _ in "123"] == [
                400,
                400,
                200,
            ]
            assert client.post("/v1/messages/count_tokens", json=ASK).json()["input_tokens"] > 0
            client.post("/__fake/push", json=[{"do": "overloaded"}])
            assert client.post("/v1/messages", json=ASK).status_code == 529
            seen = client.get("/__fake/requests").json()
        assert [r["answered"] for r in seen][:3] == ["write", "text", "error"]
        assert (seen[0]["api_key"], seen[0]["texts"], seen[0]["main"]) == ("k", ["hi"], True)
    finally:
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0
