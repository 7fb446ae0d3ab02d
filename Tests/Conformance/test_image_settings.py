"""What an image says of the program that runs in it: user, folder, variables, and that its own command is not used."""

import pytest
from support.waiting import eventually

PASSWD = "root:x:0:0:root:/root:/bin/sh\nworker:x:1234:4321:a worker:/home/worker:/bin/sh\n"
GROUP = "root:x:0:\nworker:x:4321:\nteam:x:777:worker\n"
SAY = ["/bin/sh", "-c", "busybox id -u; busybox id -g; busybox pwd; busybox echo $HOME $COLOUR $PATH; exec busybox sleep 100000"]


@pytest.fixture
def said(api, server, registry):
    """What a program prints in a sandbox of an image with these settings; None where it is refused, with the answer."""
    made = []

    def said(user, **more):
        reference = registry.push(
            f"settings-{len(made)}:1", "--config.user", user, "--config.workingdir", "/work/place", "--config.env", "COLOUR=red",
            "--config.entrypoint", "/bin/never", passwd=PASSWD, group=GROUP)
        auth = {"username": registry.user, "password": registry.password}
        body = server.body(image={"uri": reference, "auth": auth}, entrypoint=SAY, **more)
        answer = api.post("/v1/sandboxes", json=body)
        made.append(answer.json().get("id"))
        if answer.status_code != 202:
            return answer
        path = f"/v1/sandboxes/{made[-1]}/diagnostics/logs"
        eventually(lambda: len(api.get(path).text.splitlines()) >= 4, what="its lines")
        return api.get(path).text.splitlines()[:4]

    yield said
    for sandbox in filter(None, made):
        api.delete(f"/v1/sandboxes/{sandbox}")


@pytest.mark.parametrize("user, uid, gid, home", [
    ("", 0, 0, "/root"), ("worker", 1234, 4321, "/home/worker"), ("1234", 1234, 4321, "/home/worker"),
    ("worker:team", 1234, 777, "/home/worker"), ("5555", 5555, 0, "/"), ("5555:6666", 5555, 6666, "/"),
])
def test_a_program_runs_as_its_image_says_in_the_folder_and_with_the_variables_of_it(said, user, uid, gid, home):
    assert said(user) == [str(uid), str(gid), "/work/place", f"{home} red /bin"]


def test_variables_of_a_request_go_before_those_of_the_image(said):
    assert said("worker", env={"COLOUR": "blue", "HOME": "/tmp"})[3] == "/tmp blue /bin"


def test_a_user_whom_the_image_does_not_have_is_told(said):
    answer = said("nobody-here")
    assert answer.status_code == 400 and answer.json()["code"] == "DOCKER::SANDBOX_START_FAILED"
    assert "no user nobody-here" in answer.json()["message"]
